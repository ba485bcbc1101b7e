"""Counting words by polars or duckdb: words.py polars|duckdb FILE kept|lowered.

Prints the seconds that the query took, by its own clock and without the start of Python, and then each word with its
count. White space is blanks and line feeds only, which is all that the text has.
"""

import sys
import time


def by_polars(path, is_lowered):
    import polars

    words = polars.col("line").str.split(" ").explode()
    words = (words.str.to_lowercase() if is_lowered else words).alias("word")

    def query():
        lines = polars.scan_csv(
            path, separator="\0", has_header=False, quote_char=None, schema={"line": polars.String}
        )
        counts = lines.select(words).filter(polars.col("word") != "").group_by("word").len()
        return counts.collect(engine="streaming").rows()

    return query


def by_duckdb(path, is_lowered):
    import duckdb

    # It would be printed among the answers.
    duckdb.execute("SET enable_progress_bar = false")

    text = "lower(line)" if is_lowered else "line"
    sql = f"""
        SELECT word, count(*)
        FROM (SELECT unnest(string_split({text}, ' ')) AS word
              FROM read_csv(?, delim = '\1', header = false, quote = '', escape = '', auto_detect = false,
                            columns = {{'line': 'VARCHAR'}}))
        WHERE word <> ''
        GROUP BY word
    """
    return lambda: duckdb.execute(sql, [path]).fetchall()


make = {"polars": by_polars, "duckdb": by_duckdb}[sys.argv[1]]
query = make(sys.argv[2], sys.argv[3] == "lowered")
start = time.perf_counter()
counts = query()
print(time.perf_counter() - start)
sys.stdout.reconfigure(encoding="utf-8")
sys.stdout.write("".join(f"{word} {count}\n" for word, count in counts))
