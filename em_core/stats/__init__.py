"""Intervals, tests and plans for rates over questions: answers to one question are not independent.

=====================================  ==========================================================
a rate and its interval                `estimate`, `rate_interval`, `rate_intervals`, `wilson`
"there is no misalignment"             `upper_bound`
two checkpoints or runs                `paired_difference`, `paired_by_name`
many checkpoints against step 0        `against_start`, `benjamini_hochberg`
runs that differ in the seed only      `across_seeds`
two rates of different questions       `mover`, `fisher_p`
how many answers are needed            `answers_needed`, `samples_needed`, `power`
what difference could have been seen   `detectable_difference`
when it changed                        `change_point`, `design_effect_of`
how alike answers to a question are    `intraclass_correlation`, `clustered_se`
=====================================  ==========================================================

Every interval is of a named kind: ``questions`` (*these questions*, new answers) or ``population``
(*questions like these*). Nothing scored is None, never 0. `docs/statistics.md` says what each does,
where it comes from, and how often it is right in simulation.
"""

from __future__ import annotations

from em_core.stats.bootstrap import RESAMPLES as RESAMPLES
from em_core.stats.bootstrap import bootstrap_interval as bootstrap_interval
from em_core.stats.change_point import ChangePoint as ChangePoint
from em_core.stats.change_point import change_point as change_point
from em_core.stats.change_point import change_points as change_points
from em_core.stats.change_point import design_effect_of as design_effect_of
from em_core.stats.correlation import clustered_se as clustered_se
from em_core.stats.correlation import intraclass_correlation as intraclass_correlation
from em_core.stats.kinds import IntervalKind as IntervalKind
from em_core.stats.kinds import IntervalMethod as IntervalMethod
from em_core.stats.kinds import interval_note as interval_note
from em_core.stats.many import CheckpointTest as CheckpointTest
from em_core.stats.many import adjusted_rows as adjusted_rows
from em_core.stats.many import against_start as against_start
from em_core.stats.many import benjamini_hochberg as benjamini_hochberg
from em_core.stats.paired import Difference as Difference
from em_core.stats.paired import difference_note as difference_note
from em_core.stats.paired import paired_by_name as paired_by_name
from em_core.stats.paired import paired_difference as paired_difference
from em_core.stats.paired_many import Differences as Differences
from em_core.stats.paired_many import paired_differences as paired_differences
from em_core.stats.power import Needed as Needed
from em_core.stats.power import answers_needed as answers_needed
from em_core.stats.power import detectable_difference as detectable_difference
from em_core.stats.power import power as power
from em_core.stats.power import samples_needed as samples_needed
from em_core.stats.rates import Estimate as Estimate
from em_core.stats.rates import estimate as estimate
from em_core.stats.rates import rate_interval as rate_interval
from em_core.stats.rates import rate_intervals as rate_intervals
from em_core.stats.seeds import AcrossSeeds as AcrossSeeds
from em_core.stats.seeds import across_seeds as across_seeds
from em_core.stats.unpaired import fisher_p as fisher_p
from em_core.stats.unpaired import mover as mover
from em_core.stats.upper import pooled_upper_bounds as pooled_upper_bounds
from em_core.stats.upper import upper_bound as upper_bound
from em_core.stats.wilson import score_bounds as score_bounds
from em_core.stats.wilson import wilson as wilson
