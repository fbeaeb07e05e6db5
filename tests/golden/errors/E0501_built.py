import pipectl as pp
from pipectl.types import f32, i64, string

small = pp.stage("small", pp.sig(x=f32["*", 4]).to(label=i64["*"]), pp.python("m:small"))


@pp.pipeline(out=dict(label=i64["B"], first=string))
def tag(p, x: f32["B", 4], score: f32):
    def row(q, one):
        q.l = pp.if_(
            score > 0.5,
            lambda r: "a label",
            lambda r: small(one),
        )
        return q.l

    p.label = pp.map_(row, max=100, one=x)
    p.first = pp.if_(
        x,
        lambda q: "some",
        lambda q: "none",
    )
    return dict(label=p.label, first=p.first)


m = pp.module(tag)
