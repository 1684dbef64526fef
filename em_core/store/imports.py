"""What was imported into this store."""

from __future__ import annotations

import pandas as pd

from em_core.home import Home
from em_core.store.reader import connect


def imports(home: Home, limit: int = 500) -> pd.DataFrame:
    """One row per imported file, the newest first.

    Args:
        home: Whose store.
        limit: At most so many files.

    Returns:
        t (seconds since 1970), file, format, sha256, n_rows, n_imported, skipped (JSON list of {"where", "reason",
        "n"}), note, run_ids (list), labels (list), experiment (the study).
    """
    return connect(home).frame(
        """
        SELECT min(imports.t) AS t, file, format, sha256, max(n_rows) AS n_rows, max(n_imported) AS n_imported,
               any_value(skipped) AS skipped, any_value(note) AS note,
               list(DISTINCT imports.run_id ORDER BY imports.run_id) AS run_ids,
               list(DISTINCT label ORDER BY label) AS labels, any_value(experiment) AS experiment
        FROM imports LEFT JOIN created_once USING (run_id)
        GROUP BY file, format, sha256 ORDER BY min(imports.t) DESC, file LIMIT $limit
        """,
        {"limit": limit},
    )
