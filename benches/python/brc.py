"""The One Billion Row Challenge by polars or duckdb: brc.py polars|duckdb FILE.

Prints the seconds that the query took, by its own clock and without the start of Python, and then the answer.
"""

import math
import sys
import time


def by_polars(path):
    import polars

    columns = {"station": polars.String, "degrees": polars.Float64}
    degrees = polars.col("degrees")

    def query():
        rows = polars.scan_csv(path, separator=";", has_header=False, quote_char=None, schema=columns)
        stations = rows.group_by("station").agg(
            degrees.min().alias("min"), degrees.max().alias("max"), degrees.sum().alias("sum"), polars.len()
        )
        return stations.sort("station").collect(engine="streaming").rows()

    return query


def by_duckdb(path):
    import duckdb

    # It would be printed among the answers.
    duckdb.execute("SET enable_progress_bar = false")

    sql = """
        SELECT station, min(degrees), max(degrees), sum(degrees), count(*)
        FROM read_csv(?, delim = ';', header = false, quote = '', escape = '', auto_detect = false,
                      columns = {'station': 'VARCHAR', 'degrees': 'DOUBLE'})
        GROUP BY station ORDER BY station
    """
    return lambda: duckdb.execute(sql, [path]).fetchall()


def shown(station, least, most, total, count):
    # Sums of tenths are exact as integers. A mean in the middle of two tenths is rounded up.
    mean = math.floor(round(total * 10) / count + 0.5) / 10
    # Not -0.0.
    return f"{station}={least + 0.0:.1f}/{mean + 0.0:.1f}/{most + 0.0:.1f}"


query = {"polars": by_polars, "duckdb": by_duckdb}[sys.argv[1]](sys.argv[2])
start = time.perf_counter()
rows = query()
print(time.perf_counter() - start)
print("{" + ", ".join(shown(*row) for row in rows) + "}")
