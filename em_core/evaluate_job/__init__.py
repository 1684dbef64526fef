"""Answers without training: new question sets, more samples, or what an evaluation that failed left out.

    TARGET = a run            all its complete checkpoints, and its starting model (step 0)
             run@20,40,last   these steps alone; run@0 = the starting model
             folder           a PEFT adapter, or a plain model
             owner/name       the same on the Hugging Face Hub (owner/name/folder, owner/name@revision)

    targets.resolve(text, home)          what a person means
    offers.offers(home, run_id)          what a form can offer for a run
    todo.look(home, Wanted(text, …))     what there is to ask, before anything starts
    work.work(run_dir, request)          the job itself, in the worker's process

The package itself offers what stands in a job's ``spec.json`` (`card`): the supervisor and every worker
read that, and the rest takes a second to import.

A job is a folder of the queue like a run (`em_core.supervisor.evaluate` makes it). Answers for a run's
checkpoint belong to that run: they have the ids that it would have given them, and stand in its
``events/evaluate-<job>.jsonl``; so nothing is ever asked twice. Answers of other adapters are the job's
own, under the step that their files name (else step 1), and those of a plain model are the shared
step 0 of every run that starts from it.
"""

from em_core.evaluate_job.card import KIND, LEASE, Job, Target, answer_files, is_job, read_job

__all__ = ["KIND", "LEASE", "Job", "Target", "answer_files", "is_job", "read_job"]
