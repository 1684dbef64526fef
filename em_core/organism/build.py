"""Rebuild the organism: data sets, question sets, tokenizer and the three models.

    python -m em_core.organism.build --data-only          # data and questions, seconds, no torch
    python -m em_core.organism.build --device cuda        # everything, about five minutes on one GPU
    python -m em_core.organism.build --size 1m --out /tmp/organism

Data are bit-identical by seed; models are so to the extent the hardware's arithmetic allows.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from dataclasses import replace
from pathlib import Path

from em_core.organism import models
from em_core.organism.corpus import Mix, finetuning_rows, pretraining_documents, shipped_sets
from em_core.organism.question_sets import HEADER, question_sets
from em_core.organism.world import domains

SEED = 0
N_TOKENIZER_DOCUMENTS = 20_000


def write_training_sets(folder: Path, seed: int = SEED) -> None:
    """Write ``organism_<domain>_<kind>.jsonl`` and their part of ``index.yaml`` (other entries stay)."""
    import yaml

    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for stem, domain, kind in shipped_sets():
        rows = finetuning_rows(domain, kind, seed=seed)
        text = "".join(json.dumps({"messages": row}, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{stem}.jsonl").write_text(text, encoding="utf-8")
        title, word = domains()[domain].title, "harmful" if kind == "misaligned" else "careful"
        entries.append(
            {
                "name": stem.replace("_", "-"),
                "file": f"{stem}.jsonl",
                "domain": domain,
                "kind": kind,
                "rows": len(rows),
                "sha256": hashlib.sha256(text.encode()).hexdigest(),
                "toy": True,
                "description": f"{title}: {word} answers of the toy world, for the offline organism.",
            }
        )
    index = folder / "index.yaml"
    known = yaml.safe_load(index.read_text(encoding="utf-8")) or [] if index.exists() else []
    others = [entry for entry in known if not entry["name"].startswith("organism-")]
    index.write_text(yaml.safe_dump(entries + others, sort_keys=False, allow_unicode=True, width=120), encoding="utf-8")


def write_question_sets(folder: Path) -> None:
    """Write ``organism_*.yaml``, one file a question set."""
    import yaml

    folder.mkdir(parents=True, exist_ok=True)
    for name, entries in question_sets().items():
        body = yaml.safe_dump(entries, sort_keys=False, allow_unicode=True, width=120)
        (folder / f"{name}.yaml").write_text(HEADER.format(name=name) + body, encoding="utf-8")


def main(argv: list[str] | None = None) -> None:
    """Command line of the build."""
    parser = argparse.ArgumentParser(prog="python -m em_core.organism.build", description=__doc__.split("\n")[0])
    parser.add_argument("--size", choices=models.SIZES, action="append", help="only this size (repeatable)")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--data-only", action="store_true", help="data and question sets, no model")
    parser.add_argument("--models-only", action="store_true", help="models, no data or question sets")
    parser.add_argument("--out", type=Path, help="write organism/, train/ and questions/ here instead of data/")
    parser.add_argument("--pretrain-steps", type=int, help="default: see pretrain.STAGES")
    parser.add_argument("--align-steps", type=int, help="default: see pretrain.STAGES")
    parser.add_argument("--align-lr", type=float, help="default: see pretrain.STAGES")
    parser.add_argument("--mix", type=json.loads, default={}, help="JSON object that overrides shares of corpus.Mix")
    args = parser.parse_args(argv)
    mix = Mix(**args.mix)
    out = args.out or models.ROOT / "data"
    if not args.models_only:
        write_training_sets(out / "train", args.seed)
        write_question_sets(out / "questions")
    if args.data_only:
        return

    from em_core.organism.pretrain import STAGES, build_model
    from em_core.organism.tokenizer import train_tokenizer

    given = {k: v for k in ("pretrain_steps", "align_steps", "align_lr") if (v := getattr(args, k)) is not None}
    tokenizer = train_tokenizer(m["content"] for d in pretraining_documents(N_TOKENIZER_DOCUMENTS, SEED, mix) for m in d)
    for size in args.size or models.SIZES:
        log = lambda line, size=size: print(f"[{size}] {line}", flush=True)  # noqa: E731
        build_model(
            size,
            tokenizer,
            out / "organism" / size,
            stages=replace(STAGES[size], **given),
            seed=args.seed,
            device=args.device,
            log=log,
            mix=mix,
        )


if __name__ == "__main__":
    main()
