"""Chooses the held-out examples of one adapter from demo/eval.json, for the tasks beside this file."""


def only(adapter):
    def choose(documents):
        return documents.filter(lambda document: document["adapter"] == adapter)

    return choose


mood = only("mood")
spanish = only("spanish")
