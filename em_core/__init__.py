"""The core of the emergent-misalignment workbench.

Nothing here imports Streamlit, and importing ``em_core`` loads neither torch nor transformers.
Start reading in `em_core/worker.py`: what a run does, top to bottom.
"""

__version__ = "0.1.0"
