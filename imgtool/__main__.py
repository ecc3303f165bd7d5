"""`python -m imgtool`."""

from imgtool.cli.main import main

main()
