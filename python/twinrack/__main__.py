"""`python -m twinrack`: the same as the `twinrack` command."""

from .cli.app import main

if __name__ == "__main__":
    main()
