"""What every room uses: errors, settings, files, texts and compiled kernels."""
