"""The store: event files in, one read-only DuckDB file out, and every SQL statement of the project.

    ingest.py    event files -> columnar batches (parse.py reads one block of lines)
    publish.py   copy, append, rename (database.py: the file; append.py: the rows)
    reader.py    read-only connections, one per generation of the file
    queries.py   frames for pages, the command line and notebooks; answers.py: paged texts
    rates.py     EM rates with counts and intervals

Nobody opens ``runs.duckdb`` for writing: see docs/adr/0002-copy-append-rename.md.
"""
