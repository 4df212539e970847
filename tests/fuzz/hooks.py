"""What no schema can say, and what therefore is left out of the requests before they are sent."""

import schemathesis
from schemathesis import GenerationMode


@schemathesis.hook
def before_call(context, case, kwargs):
    case.body = written_whole(case.body)
    if case.method == "PUT":
        mind_status_only(case)


def written_whole(value):
    """JSON Schema takes 3.0 for an integer; the gateways do not, and neither does keyfresh."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [written_whole(item) for item in value]
    if isinstance(value, dict):
        return {name: written_whole(item) for name, item in value.items()}
    return value


def mind_status_only(case):
    """With status_only there must be a status, and nothing else in the body is looked at."""
    is_valid = case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE
    has_status = isinstance(case.body, dict) and case.body.get("status") is not None
    if not (is_valid and has_status):
        (case.query or {}).pop("status_only", None)
