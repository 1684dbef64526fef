"""Memory of a run on a card of 80 GiB."""

import pandas as pd


def typical():
    parts = {
        "training": {"weights": 15.0, "adapter": 0.2, "optimizer": 0.9, "gradients": 0.5, "activations": 10.1, "output head": 0.1},
        "sampling": {"weights": 15.0, "adapter": 0.2, "optimizer": 0.9, "merged copies": 13.0, "key-value cache": 4.5, "decoding": 0.9},
    }  # fmt: skip
    rows = [(phase, part, gib) for phase, found in parts.items() for part, gib in {**found, "libraries": 0.6}.items()]
    return pd.DataFrame(rows, columns=["phase", "part", "gib"]).assign(card_gib=80.0)
