"""What the commands do, one file each; `contextrast.cli` is what is typed."""
