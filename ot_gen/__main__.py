"""`python -m ot_gen` is `ot-gen`."""

from ot_gen.cli import main

if __name__ == "__main__":
    main()
