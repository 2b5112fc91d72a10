"""Writes down what was answered to which call, so that the test can see whether each was reached."""

import os

import schemathesis


@schemathesis.hook
def after_call(context, case, response):
    with open(os.environ["ANSWERS"], "a", encoding="utf-8") as answers:
        answers.write(f"{case.method.upper()} {case.path} {response.status_code}\n")
