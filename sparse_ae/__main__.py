"""``python -m sparse_ae``; see `cli.main`."""
from sparse_ae.cli.main import main

if __name__ == "__main__":
    main()
