"""What every room uses: errors, settings, files, label files, argument checks and compiled kernels."""
