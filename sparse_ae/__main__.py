"""``python -m sparse_ae``; see `cli.main`."""
import atexit
import signal
import sys

try:
    from sparse_ae.cli.main import main
except KeyboardInterrupt:  # NumPy and SciPy take a while to load
    sys.stderr.write("python -m sparse_ae: interrupted\n")
    sys.exit(130)

if __name__ == "__main__":
    try:
        main()
    finally:  # Theano tidies its cache at exit, and would show a traceback for Ctrl-C
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            atexit.register(signal.signal, signal.SIGINT, signal.SIG_DFL)  # there, since threads may not
