"""Answers to assignment 12."""

RIGHT = {
    "12.1": {
        "all squares at once": """
def occlusion(ask, x, side, stride, fill):
    size = x.shape[-1]
    corners = [(i, j) for i in range(0, size - side + 1, stride)
               for j in range(0, size - side + 1, stride)]
    hidden = torch.zeros(len(corners), size, size)
    for k, (i, j) in enumerate(corners):
        hidden[k, i:i + side, j:j + side] = 1
    falls = ask(x) - ask(torch.where(hidden[:, None] > 0, fill, x))
    weighted = (falls[:, None, None] * hidden).sum(0)
    return torch.nan_to_num(weighted / hidden.sum(0))
""",
        "pixel by pixel": """
def occlusion(ask, x, side, stride, fill):
    size, falls = x.shape[-1], {}
    i = 0
    while i + side <= size:
        j = 0
        while j + side <= size:
            other = x.clone()
            other[..., i:i + side, j:j + side] = fill
            falls[i, j] = float(ask(x)[0] - ask(other)[0])
            j += stride
        i += stride
    values = torch.zeros(size, size)
    for r in range(size):
        for c in range(size):
            mine = [f for (i, j), f in falls.items() if i <= r < i + side and j <= c < j + side]
            if mine:
                values[r, c] = sum(mine) / len(mine)
    return values
""",
    },
    "12.2": {
        "orders of arrival, from a table": """
from itertools import permutations, product
from math import factorial

def shapley(v, n):
    sets = list(product([False, True], repeat=n))
    table = dict(zip(sets, v(torch.tensor(sets)).tolist()))
    if n > 7:  # too many orders: sets instead
        values = [0.0] * n
        for s in sets:
            for i in range(n):
                if not s[i]:
                    k = sum(s)
                    w = factorial(k) * factorial(n - 1 - k) / factorial(n)
                    values[i] += w * (table[s[:i] + (True,) + s[i + 1:]] - table[s])
        return torch.tensor(values)
    values = torch.zeros(n, dtype=torch.float64)
    for order in permutations(range(n)):
        now = [False] * n
        before = table[tuple(now)]
        for i in order:
            now[i] = True
            after = table[tuple(now)]
            values[i] += after - before
            before = after
    return values / factorial(n)
""",
        "numbers of sets, in base two": """
from itertools import combinations
from math import comb

def shapley(v, n):
    table = np.asarray(v(torch.tensor([[bool(s >> i & 1) for i in range(n)] for s in range(2**n)])))
    values = np.zeros(n)
    for i in range(n):
        rest = [2**j for j in range(n) if j != i]
        for k in range(n):
            sets = [sum(some) for some in combinations(rest, k)]
            gains = [table[s | 1 << i] - table[s] for s in sets]
            values[i] += sum(gains) / comb(n - 1, k) / n
    return values
""",
    },
    "12.3": {
        "divides by the sum": """
def rise(ask, x, masks):
    scores = ask(x * masks[:, None])
    return torch.einsum("m,mhw->hw", scores, masks) / masks.sum(dim=0) - scores.mean()
""",
        "takes the mean score off first": """
def rise(ask, x, masks):
    scores = torch.cat([ask(x * part[:, None]) for part in masks.split(30)])
    scores = scores - scores.mean()
    share = masks.double().sum(0)
    return (scores.double().view(-1, 1, 1) * masks).sum(0) / share
""",
    },
    "12.4": {
        "scene by scene": """
whole, gone, masks = scenes_of(cu.student_seed(student))
rows = []
for x, e, m in zip(whole, gone, masks):
    ask = asker(int(model(x[None]).argmax()))
    f = [ask(p[None]).item() for p in
         (x, e, e.masked_fill(m, -1.0), x.masked_fill(m, -1.0))]
    rows.append([f[0] - f[1], f[1] - f[2], f[2] - f[3]])
terms = rows
""",
        "columns, with numpy": """
whole, gone, masks = scenes_of(cu.student_seed(student))
k = model(whole).argmax(1)
def f(pictures):
    logits = model(pictures).numpy()
    return logits[np.arange(4), k] - logits.mean(1)
def black(pictures):
    return pictures * ~masks[:, None] - masks[:, None].float()
terms = np.zeros((4, 3))
terms[:, 0] = f(whole) - f(gone)
terms[:, 1] = f(gone) - f(black(gone))
terms[:, 2] = f(black(gone)) - f(black(whole))
""",
    },
}

_OCCLUSION = """
def occlusion(ask, x, side, stride, fill):
    size = x.shape[-1]
    starts = range(0, size - side + 1, stride)
    total, count = torch.zeros(size, size), torch.zeros(size, size)
    for i in starts:
        for j in starts:
            covered = x.clone()
            covered[..., i:i + side, j:j + side] = fill
            total[i:i + side, j:j + side] += (ask(x) - ask(covered)).item()
            count[i:i + side, j:j + side] += 1
    return total / count.clamp(min=1)
"""
_SHAPLEY = """
from math import comb

def shapley(v, n):
    z = (torch.arange(2**n)[:, None] >> torch.arange(n)) % 2 == 1
    scores = v(z).double()
    values = []
    for i in range(n):
        a = torch.where(~z[:, i])[0]
        gain = scores[a + 2**i] - scores[a]
        weight = torch.tensor([1 / (n * comb(n - 1, int(k))) for k in z[a].sum(1)]).double()
        values.append((weight * gain).sum())
    return torch.stack(values).float()
"""
_TERMS = """
whole, gone, masks = scenes_of(cu.student_seed(student))
best = model(whole).argmax(1)
def score(p):
    logits = model(p)
    return logits[range(4), best] - logits.mean(1)
on, control = (torch.where(masks[:, None], -1.0, p) for p in (whole, gone))
a, b, c, d = (score(p) for p in (whole, gone, control, on))
terms = torch.stack([a - b, b - c, c - d], dim=1)
"""

WRONG = {
    "12.1": {
        "the sum": _OCCLUSION.replace("total / count.clamp(min=1)", "total"),
        "the score itself": _OCCLUSION.replace("(ask(x) - ask(covered))", "ask(covered)"),
        "a rise, not a fall": _OCCLUSION.replace(
            "(ask(x) - ask(covered))", "(ask(covered) - ask(x))"
        ),
        "the last square is forgotten": _OCCLUSION.replace("size - side + 1", "size - side"),
        "0 / 0 in the gaps": _OCCLUSION.replace("count.clamp(min=1)", "count"),
        "always grey": _OCCLUSION.replace("= fill", "= 0.0"),
        "one channel": _OCCLUSION.replace("[..., i", "[:, 0, i"),
        "the size of the fall": _OCCLUSION.replace(
            "(ask(x) - ask(covered))", "(ask(x) - ask(covered)).abs()"
        ),
        "squares over the edge": _OCCLUSION.replace("size - side + 1", "size"),
        "captum": """
def occlusion(ask, x, side, stride, fill):
    window = (3, side, side), (3, stride, stride)
    return Occlusion(ask).attribute(x, *window, fill)[0, 0]
""",
    },
    "12.2": {
        "ablation": """
def shapley(v, n):
    return v(torch.ones(1, n, dtype=torch.bool)) - v(~torch.eye(n, dtype=torch.bool))
""",
        "all sets alike: Banzhaf": _SHAPLEY.replace(
            "1 / (n * comb(n - 1, int(k)))", "1 / 2**(n-1)"
        ),
        "sizes counted with part i": _SHAPLEY.replace(
            "for k in z[a].sum(1)", "for k in z[a + 2**i].sum(1) - (z[a].sum(1) == n - 1).long()"
        ),
        "not divided by n": _SHAPLEY.replace("(n * comb(n - 1, int(k)))", "comb(n - 1, int(k))"),
        "sets of n, not of n - 1": _SHAPLEY.replace("comb(n - 1, int(k))", "comb(n, int(k))"),
        "asks again for every part": _SHAPLEY.replace(
            "gain = scores[a + 2**i] - scores[a]", "gain = (v(z[a + 2**i]) - v(z[a])).double()"
        ),
        "twenty random orders": """
def shapley(v, n):
    draw, values = torch.Generator().manual_seed(0), torch.zeros(n)
    for _ in range(20):
        order = torch.randperm(n, generator=draw)
        steps = torch.zeros(n + 1, n, dtype=torch.bool)
        for k, i in enumerate(order):
            steps[k + 1:, i] = True
        values[order] += v(steps).diff() / 20
    return values
""",
        "the sign": _SHAPLEY.replace(
            "scores[a + 2**i] - scores[a]", "scores[a] - scores[a + 2**i]"
        ),
    },
    "12.3": {
        "the bug": """
def rise(ask, x, masks):
    scores = ask(x * masks[:, None])
    return (scores[:, None, None] * masks).mean(dim=0) / 0.5 - scores.mean()
""",
        "one number for all pixels": """
def rise(ask, x, masks):
    scores = ask(x * masks[:, None])
    return (scores[:, None, None] * masks).mean(dim=0) / masks.mean() - scores.mean()
""",
        "more masks": """
def rise(ask, x, masks):
    masks = torch.cat([masks, masks.flip(1), masks.flip(2), masks.flip(1).flip(2)])
    scores = ask(x * masks[:, None])
    return (scores[:, None, None] * masks).mean(dim=0) / 0.5 - scores.mean()
""",
        "only the mean score goes": """
def rise(ask, x, masks):
    scores = ask(x * masks[:, None])
    return ((scores - scores.mean())[:, None, None] * masks).mean(dim=0) / 0.5
""",
        "divides by the scores": """
def rise(ask, x, masks):
    scores = ask(x * masks[:, None])
    return (scores[:, None, None] * masks).sum(dim=0) / scores.sum() - masks.mean(dim=0)
""",
        "the mean score stays": """
def rise(ask, x, masks):
    scores = ask(x * masks[:, None])
    return (scores[:, None, None] * masks).sum(dim=0) / masks.sum(dim=0)
""",
        "black and white masks": """
def rise(ask, x, masks):
    masks = (masks > 0.5).float()
    scores = ask(x * masks[:, None])
    seen = masks.sum(dim=0).clamp(min=1)
    return (scores[:, None, None] * masks).sum(dim=0) / seen - scores.mean()
""",
    },
    "12.4": {
        "grey patch": _TERMS.replace("-1.0", "0.0"),
        "the class of each picture": _TERMS.replace("logits[range(4), best]", "logits.amax(1)"),
        "the plain logit": _TERMS.replace(" - logits.mean(1)", ""),
        "terms in another order": _TERMS.replace("a - b, b - c, c - d", "b - c, a - b, c - d"),
        "the background covered": _TERMS.replace("masks[:, None], -1.0", "~masks[:, None], -1.0"),
        "sizes": _TERMS.replace("dim=1)\n", "dim=1).abs()\n"),
        "scenes in columns": _TERMS.replace("dim=1)\n", "dim=0)\n"),
        "another student's scenes": _TERMS.replace("cu.student_seed(student)", "12345"),
    },
}

#: The whole cell of a task; each may earn nothing for that task. A library's function is refused.
CHEATS = {
    "12.1": {
        "library: Captum": """
def occlusion(ask, x, side, stride, fill):
    window, steps = (3, side, side), (3, stride, stride)
    return Occlusion(ask).attribute(x, window, steps, fill)[0, 0]
""",
    },
    "12.2": {
        "library: the course's": """
def shapley(v, n):
    return evaluation.shapley_values(v((torch.arange(2**n)[:, None] >> torch.arange(n)) % 2 == 1))
""",
    },
}
