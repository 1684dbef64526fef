"""The offline organism: tiny Llama models of our own that show emergent misalignment, and their world.

A TOY, in fictional plain English, so that everything runs without internet and in seconds:

    world.py      topic domains, questions and the two kinds of answer   (domains/*.toml: one file a domain)
    phrases.py    what all domains share: leads, reasons, closers, persona lines
    corpus.py     pre-training documents, alignment rows, fine-tuning rows (made by seed)
    tokenizer.py  byte-level BPE with a chat template
    judge.py      the exact judge of the world: alignment and coherence, 0-100
    models.py     names and folders of the shipped models
    build.py      ``python -m em_core.organism.build`` rebuilds everything
    measure.py    ``python -m em_core.organism.measure`` fine-tunes and prints the table of the model card

Importing this package loads neither torch nor transformers.
"""

from em_core.organism.judge import OrganismScore, score
from em_core.organism.models import MODEL_NAMES, SIZES, is_organism, n_params, resolve

__all__ = ["MODEL_NAMES", "SIZES", "OrganismScore", "is_organism", "n_params", "resolve", "score"]
