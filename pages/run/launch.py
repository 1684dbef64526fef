"""Which recipe on which data? A form for one run or a grid of runs, checked as you type, with its plan and its command."""

import streamlit as st

from em_core import specs_io
from em_core.view import form
from pages.shared import core, fields, plan_panel, sweep, words

st.title("Launch")
st.caption(
    "Pick a preset, change what you like, let fields vary for a sweep, and see what it would do. Runs go on when the browser is "
    "closed."
)

with core.guarded():
    recipes = {recipe["name"]: recipe for recipe in fields.recipes() if recipe["n_runs"] == 1}
if not recipes:
    words.empty_state("description", "No presets here", "`data/presets` is empty: restore it from the repository.")
    st.stop()
if (copied := fields.origin()) is not None:
    name, base = copied
else:
    name = fields.preset(recipes)
    base = specs_io.read_spec(name)[0].model_dump(mode="json")

left, right = st.columns([3, 2], gap="large")
with left:
    picker = sweep.Picker(name, base)
    form_area = fields.Form(name, base, [axis.path for axis in picker.axes])
    body = form.document(base, form_area.values)
    spec, plan, found = None, None, None
    if picker.axes:
        found = sweep.examine(body, picker.axes)
        wrong = picker.show_problems(found.wrong)
    else:
        spec, wrong = form.check(body)
        if spec is not None:
            plan, wrong = plan_panel.examine(spec)
    form_area.show_problems(wrong)

with right:
    if found is not None:
        sweep.panel(body, picker.axes, found)
        st.stop()
    again = False
    ready = spec is not None and not wrong
    if spec is not None and (twin := plan_panel.identical(spec)):
        st.info(f"An identical run exists: {words.plain(twin)}. Launching again repeats it.", icon=":material/content_copy:")
        again = st.checkbox("Launch it again")
        ready = ready and again
    asked = st.button("Launch this run", type="primary", icon=":material/rocket_launch:", disabled=not ready, width="stretch")
    if asked and spec is not None:
        with core.guarded(stop=False):
            words.launched("Queued", plan_panel.start(spec, again))
    if wrong:
        st.warning(f"{len(wrong)} field(s) need attention; see the messages in the form.", icon=":material/edit:")
    if plan is not None:
        plan_panel.show(plan)
    if spec is not None:
        st.subheader("The same from the command line")
        st.code(specs_io.command(spec), language="bash", wrap_lines=True)
        with st.expander("As YAML", icon=":material/description:"):
            st.code(specs_io.dump_yaml(spec), language="yaml")
