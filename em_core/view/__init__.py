"""What the pages show, without Streamlit: the launch form's fields, and a run's progress from its events."""
