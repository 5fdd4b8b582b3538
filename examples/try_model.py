"""How do I try a model? On a page in a browser: rate some titles, and see ten recommendations with their reasons.

    python examples/try_model.py model.npz --titles titles.csv
"""
import argparse
from contextlib import suppress
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import sparse_ae
from sparse_ae.data.datasets.titles import load_titles

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Try a model</title>
<meta name="viewport" content="width=device-width"><style>
:root { color-scheme: light dark; font: 1rem/1.4 system-ui, sans-serif }
body { max-width: 64rem; margin: auto; padding: 1rem; overflow-wrap: anywhere }
form { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%%), 1fr)); gap: 0 2rem }
label { display: flex; justify-content: space-between; align-items: start; gap: 1rem; margin: .3rem 0 }
label input { width: 4rem }
small { display: block; opacity: .75 }
</style><form><section><h1>Try a model</h1><input type="search" name="q" value="%(query)s" aria-label="Title">
<button>Search and recommend</button><h2>%(heading)s</h2><ul>%(hits)s</ul><h2>Your ratings</h2><ul>%(rated)s</ul>
</section><section><h2>Recommended</h2><ol>%(best)s</ol></section></form></html>"""
ROW = """<li><label><span>%(title)s<small>%(reason)s</small></span>
<input type="number" name="rate %(item)s" step="any" value="%(rating)s"></label></li>"""


def reasons(person, best, titles):
    """The score of each item, and the rated titles that speak for it most, with their parts in the score: a dict."""
    said = {item: "%.2f" % score for item, score in zip(best.items.tolist(), best.scores)}
    for item, (items, parts, _) in zip(said, person.explain(list(said))):  # all at once
        # A new item is explained by its attributes.
        most = ", ".join("%s %+.2f" % (titles.get(each, each), part) for each, part in zip(items[:3].tolist(), parts))
        said[item] += ": " + most if most else ""
    return said


def page(model, titles, fields):
    """The page's text. `fields` has the words to search for, "q", and ratings, such as "rate 7" for item 7."""

    def rows(items):
        return "".join(ROW % dict(title=escape(titles[item]), reason=escape(said), item=escape(str(item)),
                                  rating=escape(fields.get("rate %s" % item, ""))) for item, said in items.items())

    rated = {item: float(fields["rate %s" % item]) for item in titles if "rate %s" % item in fields}
    popular, new = model.fold_in([{}, rated])
    words = fields.get("q", "").casefold().split()
    among = titles if words else popular.recommend(n=10).items
    hits = [item for item in among if item not in rated and all(word in titles[item].casefold() for word in words)]
    return PAGE % dict(
        query=escape(fields.get("q", "")), heading="Found" if words else "Most popular",
        hits=rows(dict.fromkeys(hits[:10], "")) or "nothing else", rated=rows(dict.fromkeys(rated, "")),
        best=rows(reasons(new, new.recommend(n=10), titles)))


def make_server(path, titles=None, port=8000):
    model = sparse_ae.Recommender.load(path)
    found = load_titles(titles) if titles else {}
    named = {item: str(found.get(str(item)) or item) for item in model.items_.tolist()}

    class Page(BaseHTTPRequestHandler):
        timeout = 10  # seconds without a byte, after which a thread ends

        def handle(self):
            with suppress(ConnectionError):  # of a browser that closes early
                super().handle()

        def do_GET(self):
            host = self.headers.get("Host", "").partition(":")[0]
            if host not in ("127.0.0.1", "localhost"):  # another site's name that leads here
                return self.send_error(403, "open the address that the program has printed")
            try:
                status, text = 200, page(model, named, dict(parse_qsl(urlsplit(self.path).query)))
            except (TypeError, ValueError) as error:  # an address that the form didn't make
                status, text = 400, escape(str(error))
            self.send_response(status)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(text.encode("utf-8", "replace"))

    return ThreadingHTTPServer(("127.0.0.1", port), Page)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", metavar="model", help="the file of a recommender")
    parser.add_argument("--titles", help="a table of ids and titles (default: ids are the titles)")
    try:
        made = make_server(**vars(parser.parse_args()))
    except (OSError, ValueError) as error:
        parser.error(str(error))
    with made as server, suppress(KeyboardInterrupt):
        print("open http://127.0.0.1:%d, and end it by Ctrl-C" % server.server_port, flush=True)
        server.serve_forever()
