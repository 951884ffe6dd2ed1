"""`python -m konsil.cli`: the same as `konsil`, for interpreters whose scripts are not on PATH."""

from konsil.cli.app import main

if __name__ == "__main__":
    main()
