"""Leaves out what is bad by a part that is never sent: a key of the query with nothing is in no request, and a list of one is sent as what is in it."""

import schemathesis


def is_sent(value):
    if isinstance(value, (list, tuple)):
        return sum(inner is not None for inner in value) > 1
    return value is not None and value != {}


@schemathesis.hook
def filter_query(context, query):
    return all(is_sent(value) for value in (query or {}).values())
