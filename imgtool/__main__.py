"""`python -m imgtool`."""

from imgtool.cli.start import main

main()
