"""What every room uses: errors, settings, files, texts, progress, processes and compiled kernels."""
