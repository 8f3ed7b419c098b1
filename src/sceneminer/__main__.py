"""``python -m sceneminer``."""

from sceneminer.cli import main

if __name__ == "__main__":
    main()
