"""The pipeline of hello.pipe written in Python: same checks, same plan, same text.

python examples/hello/hello_builder.py
"""

import pipectl as pp
from pipectl.types import i64, string

greet = pp.stage("greet", pp.sig(name=string["*"]).to(greeting=string["*"]), pp.python("hello_stages:greet"))
measure = pp.stage("measure", pp.sig(text=string["*"]).to(length=i64["*"]), pp.python("hello_stages:measure"))


@pp.pipeline(out=dict(greeting=string, length=i64))
def hello(p, name: string):
    p.greeting = greet(name)
    return dict(greeting=p.greeting, length=measure(p.greeting))


module = pp.module(hello)

if __name__ == "__main__":
    print(module.to_text())
    with pp.load(module) as app:
        answer = app["hello"](name="Ada")
        print(answer["greeting"], answer["length"])
