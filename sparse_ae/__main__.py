"""``python -m sparse_ae``; see `cli.main`."""
import sys

try:
    from sparse_ae.cli.main import main
except KeyboardInterrupt:  # NumPy and SciPy take a while to load
    sys.stderr.write("python -m sparse_ae: interrupted\n")
    sys.exit(130)

if __name__ == "__main__":
    main()
