"""How do I try a model? On a page in a browser: rate some titles, and see ten recommendations with their reasons.

    python examples/try_model.py model.npz --titles titles.csv

The page is at http://127.0.0.1:8000, for this machine alone. It has no script: its address holds what was rated. Each
line of the CSV file of titles has an id and a title.
"""
import argparse
import csv
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from string import Template
from urllib.parse import parse_qs, urlsplit

import sparse_ae

PAGE = Template("""<!doctype html><html lang="en"><meta charset="utf-8"><title>Try a model</title>
<meta name="viewport" content="width=device-width"><style>
:root { color-scheme: light dark; font: 1rem/1.4 system-ui, sans-serif }
body { max-width: 64rem; margin: auto; padding: 1rem; overflow-wrap: anywhere }
form { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr)); gap: 0 2rem }
label { display: flex; justify-content: space-between; align-items: start; gap: 1rem; margin: .3rem 0 }
input[type=number] { width: 4rem } small { display: block; opacity: .75 }
</style><form><section><h1>Try a model</h1><input type="search" name="q" value="$query" aria-label="Title">
<button>Search and recommend</button><h2>$heading</h2><ul>$hits</ul><h2>Your ratings</h2><ul>$rated</ul></section>
<section><h2>Recommended</h2><ol>$best</ol></section></form></html>""")
ROW = Template("""<li><label><span>$title<small>$reasons</small></span><input type="hidden" name="item" value="$item">
<input type="number" name="rating" step="any" min="$least" max="$most" value="$rating"></label></li>""")


def reasons(best, person, titles):
    """{recommended item: its score, and the rated titles that speak for it most, with their parts in the score}."""
    found = {}
    for item, score in zip(best.items.tolist(), best.scores):
        try:
            items, parts, _ = person.explain(item)
            why = ", ".join("%s %+.2f" % (titles[each], part) for each, part in zip(items[:3].tolist(), parts))
        except ValueError:  # an item without ratings
            why = "by its attributes"
        found[item] = "%.2f: %s" % (score, why)
    return found


def page(model, titles, query, typed):
    """The page's text. `typed` has the ratings by ids, both as text."""
    least, most = (1, "") if model.takes_counts else model.rating_scale_

    def rows(items):
        return "".join(ROW.substitute(
            title=escape(titles[item]), reasons=escape(items[item]), item=escape(str(item)), least=least, most=most,
            rating=escape(typed.get(str(item), ""))) for item in items)

    rated = {item: float(typed[str(item)]) for item in titles if str(item) in typed}
    popular, new = model.fold_in([{}, rated])
    hits = [item for item in titles if all(word in titles[item].casefold() for word in query.casefold().split())]
    hits = hits if query else popular.recommend(n=10).items.tolist()
    return PAGE.substitute(
        query=escape(query), heading="Found" if query else "Most popular",
        hits=rows({item: "" for item in hits[:10] if item not in rated}) or "nothing else",
        rated=rows(dict.fromkeys(rated, "")), best=rows(reasons(new.recommend(n=10), new, titles)))


class Handler(BaseHTTPRequestHandler):
    model: sparse_ae.Recommender
    titles: dict

    def do_GET(self):
        fields = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        pairs = zip(fields.get("item", []), fields.get("rating", []))  # an item may be there twice, once with a rating
        try:
            text = page(self.model, self.titles, fields.get("q", [""])[0], {
                item: rating for item, rating in pairs if rating})
        except (TypeError, ValueError) as error:  # an address that the form didn't make
            self.send_error(400, explain=str(error))
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
        self.end_headers()
        self.wfile.write(text.encode())


def make_server(model, titles=None, port=8000):
    loaded, named = sparse_ae.Recommender.load(model), {}
    if titles:
        with open(titles, newline="", encoding="utf-8") as file:
            named = dict(line[:2] for line in csv.reader(file))
    named = {item: named.get(str(item), str(item)) for item in loaded.items_.tolist()}
    return ThreadingHTTPServer(("127.0.0.1", port), type("Page", (Handler,), {"model": loaded, "titles": named}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="the file of a recommender")
    parser.add_argument("--titles", help="a CSV file of ids and titles (default: ids are the titles)")
    parser.add_argument("--port", type=int, default=8000)
    parsed = parser.parse_args()
    print("open http://127.0.0.1:%d, and end it by Ctrl-C" % parsed.port, flush=True)
    make_server(**vars(parsed)).serve_forever()
