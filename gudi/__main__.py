"""`python -m gudi`."""

from gudi.cli import main

if __name__ == "__main__":
    main(prog_name="gudi")
