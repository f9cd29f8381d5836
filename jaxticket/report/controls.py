"""Controls by the names of their branches: those that train the masks of another from other initial weights."""

from jaxticket.report.study import Study

# The lab calls the control of the branch `imp` `rr_imp`, that of a structured branch `full` `full_random`.
_BEFORE, _AFTER = "rr_", "_random"


def is_control(branch: str) -> bool:
    """Whether a branch trains another's masks from other initial weights."""
    return branch.startswith(_BEFORE) or branch.endswith(_AFTER)


def controlled(branch: str, study: Study) -> str | None:
    """The branch of a study whose masks a control trains; None of what is no control, or has masks of its own.

    `rr_imp` has the masks of `imp`, `full_random` those of `full`; by `config.reinit_masks='own'` there is no `imp`.
    """
    if not is_control(branch):
        return None
    name = branch.removeprefix(_BEFORE).removesuffix(_AFTER)
    known = {row.treatment for row in study.rows}
    return next((other for other in (name, f"lt_{name}") if other in known and other != branch), None)


def control_of(branch: str) -> str:
    """The branch that would be the control of a structured one."""
    return branch + _AFTER


def controls_in_words(study: Study) -> dict[str, str]:
    """Every control of a study -> what it is, such as `the masks of imp from other initial weights`."""
    branches = dict.fromkeys(row.treatment for row in study.rows if is_control(row.treatment))
    masks = {branch: controlled(branch, study) for branch in branches}
    return {
        branch: f"the masks of {of} from other initial weights" if of else "from other initial weights than a ticket's"
        for branch, of in masks.items()
    }
