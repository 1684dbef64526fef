"""Do judges agree with each other, and with people? Pure statistics on arrays; no store, no charts.

=====================================  ==========================================================
answers with every judge's scores      `Answers`, `Rater`
what a definition makes of them        `outcomes`, `rule_for`
one row per judge, against the first   `judge_table`
two judges in detail                   `krippendorff`, `cohen`, `limits_of_agreement`, `confusion`
a judge against people                 `people_table`, `calibration_table`, `detection`, `labels_needed`
=====================================  ==========================================================

Answers to one question are not independent, so every interval here comes from questions, not from
answers (resampled, or clustered; see `resampling.py`). What cannot be estimated is None, never 0.
"""

from __future__ import annotations

from em_core.agreement.alpha import krippendorff as krippendorff
from em_core.agreement.compare import confusion as confusion
from em_core.agreement.compare import judge_table as judge_table
from em_core.agreement.compare import overall as overall
from em_core.agreement.difference import Limits as Limits
from em_core.agreement.difference import limits_of_agreement as limits_of_agreement
from em_core.agreement.kappa import cohen as cohen
from em_core.agreement.outcomes import Outcomes as Outcomes
from em_core.agreement.outcomes import outcomes as outcomes
from em_core.agreement.outcomes import rule_for as rule_for
from em_core.agreement.people import calibration as calibration
from em_core.agreement.people import calibration_table as calibration_table
from em_core.agreement.people import detection as detection
from em_core.agreement.people import labels_needed as labels_needed
from em_core.agreement.people import majority as majority
from em_core.agreement.people import people_table as people_table
from em_core.agreement.raters import Answers as Answers
from em_core.agreement.raters import Rater as Rater
from em_core.agreement.resampling import Measured as Measured
