"""Answers to assignment 06."""

RIGHT = {
    "06.1": {
        "picture by picture": """
def best_step(gradient, epsilon, norm):
    steps = []
    for g in gradient:
        if norm == "inf":
            d = torch.where(g > 0, epsilon, -epsilon) * (g != 0)
        elif norm == "2":
            d = g * epsilon / (g * g).sum() ** 0.5
        else:
            d = torch.zeros_like(g)
            place = torch.unravel_index(g.abs().argmax(), g.shape)
            d[place] = epsilon if g[place] > 0 else -epsilon
        steps.append(d)
    return torch.stack(steps)
""",
        "shared by two equal slopes, with masks": """
def best_step(gradient, epsilon, norm):
    size = gradient.abs()
    if norm == "inf":
        way = gradient / size.clamp(min=1e-300)
    elif norm == "2":
        way = F.normalize(gradient.flatten(1), dim=1, eps=1e-300).view_as(gradient)
    else:
        top = (size == size.amax((1, 2, 3), keepdim=True)).to(gradient)
        way = top * gradient.sign() / top.sum((1, 2, 3), keepdim=True)
    return way * epsilon
""",
    },
    "06.2": {
        "bounds beforehand": """
def targeted(network, pictures, targets, epsilon, steps):
    low, high = (pictures - epsilon).clamp(min=0), (pictures + epsilon).clamp(max=1)
    x = pictures.clone()
    for _ in range(steps):
        x = x - 2.5 * epsilon / steps * torch.sign(loss_gradient(network, x, targets))
        x = torch.minimum(torch.maximum(x, low), high)
    return x
""",
        "up the log-probability, one by one": """
def targeted(network, pictures, targets, epsilon, steps):
    done = []
    for x0, t in zip(pictures.split(1), targets):
        delta = torch.zeros_like(x0)
        for _ in range(steps):
            x = (x0 + delta).requires_grad_()
            network(x).log_softmax(1)[0, t].backward()
            delta = delta + x.grad.sign() * (2.5 * epsilon / steps)
            delta = (x0 + delta.clamp(-epsilon, epsilon)).clamp(0, 1) - x0
        done.append(x0 + delta)
    return torch.cat(done)
""",
    },
    "06.3": {
        "a function of its own": """
class Reduce(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, n):
        return (x * n).round() / n

    @staticmethod
    def backward(ctx, g):
        return g, None


def defended(network, pictures, values=6):
    return network(Reduce.apply(pictures, values - 1))
""",
        "a constant taken away again": """
def defended(network, pictures, values=6):
    with torch.no_grad():
        few = torch.round(pictures * (values - 1)) / (values - 1)
    return network(few + pictures - pictures.detach())
""",
    },
    "06.4": {
        "from below, with while": """
mine = pictures_of(cu.student_seed(student))
draw = torch.Generator().manual_seed(cu.student_seed(student))
noise = torch.randn(mine.shape, generator=draw).sign().double()


def smallest(x, way):
    before, k = model(x).argmax(), 1
    while k <= 24 and model(in_file(x + k / 255 * way)).argmax() == before:
        k += 1
    return k


directions = loss_gradient(model, mine, model(mine).argmax(1)).sign()
by_attack = [smallest(mine[[i]], directions[[i]]) for i in range(4)]
by_noise = [smallest(mine[[i]], noise[[i]]) for i in range(4)]
""",
        "all budgets at once, as tensors": """
mine = pictures_of(cu.student_seed(student))
draw = torch.Generator().manual_seed(cu.student_seed(student))
noise = torch.randn(mine.shape, generator=draw).sign().double()
k = torch.arange(1, 25).view(-1, 1, 1, 1, 1)
first = []
for way in (best_step(loss_gradient(model, mine, model(mine).argmax(1)), 1 / 255, "inf"), noise / 255):
    flips = model(in_file((mine + k * way).flatten(0, 1))).argmax(1).view(24, 4) != model(mine).argmax(1)
    first.append(torch.where(flips.any(0), flips.int().argmax(0) + 1, 25))
by_attack, by_noise = first
""",
    },
}

_MINE = """
mine = pictures_of(cu.student_seed(student))
draw = torch.Generator().manual_seed(cu.student_seed(student))
noise = torch.randn(mine.shape, generator=draw).sign().double()
own = model(mine).argmax(1)


def first(way):
    found = []
    for i in range(4):
        k = 1
        while k < 25 and model(in_file(mine[[i]] + k / 255 * way[[i]])).argmax() == own[i]:
            k += 1
        found.append(k)
    return found


by_attack, by_noise = first(loss_gradient(model, mine, own).sign()), first(noise)
"""

WRONG = {
    "06.1": {
        "down the loss": """
def best_step(gradient, epsilon, norm):
    flat = gradient.flatten(1)
    if norm == "inf":
        return -epsilon * gradient.sign()
    if norm == "2":
        return -epsilon * gradient / flat.norm(dim=1).view(-1, 1, 1, 1)
    best = flat.abs().argmax(1, keepdim=True)
    step = torch.zeros_like(flat).scatter(1, best, -flat.gather(1, best).sign())
    return epsilon * step.view_as(gradient)
""",
        "one length for all pictures": """
def best_step(gradient, epsilon, norm):
    flat = gradient.flatten(1)
    if norm == "inf":
        return epsilon * gradient.sign()
    if norm == "2":
        return epsilon * gradient / gradient.norm()
    best = flat.abs().argmax(1, keepdim=True)
    step = torch.zeros_like(flat).scatter(1, best, flat.gather(1, best).sign())
    return epsilon * step.view_as(gradient)
""",
        "one number in each colour": """
def best_step(gradient, epsilon, norm):
    flat = gradient.flatten(2)
    if norm == "inf":
        return epsilon * gradient.sign()
    if norm == "2":
        return epsilon * gradient / gradient.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    best = flat.abs().argmax(2, keepdim=True)
    step = torch.zeros_like(flat).scatter(2, best, flat.gather(2, best).sign())
    return epsilon * step.view_as(gradient)
""",
        "only upwards": """
def best_step(gradient, epsilon, norm):
    flat = gradient.flatten(1)
    if norm == "inf":
        return epsilon * gradient.sign()
    if norm == "2":
        return epsilon * gradient / flat.norm(dim=1).view(-1, 1, 1, 1)
    step = torch.zeros_like(flat).scatter(1, flat.argmax(1, keepdim=True), 1.0)
    return epsilon * step.view_as(gradient)
""",
        "divided by its sum": """
def best_step(gradient, epsilon, norm):
    if norm == "inf":
        return epsilon * gradient.sign()
    if norm == "2":
        return epsilon * gradient / gradient.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    return epsilon * gradient / gradient.abs().sum((1, 2, 3), keepdim=True)
""",
        "the sign for each norm": """
def best_step(gradient, epsilon, norm):
    step = gradient.sign()
    return epsilon * step / step.flatten(1).norm(p=float(norm), dim=1).view(-1, 1, 1, 1)
""",
        "flat": """
def best_step(gradient, epsilon, norm):
    g = gradient.flatten(1)
    if norm == "inf":
        return epsilon * g.sign()
    return epsilon * g / g.norm(dim=1, keepdim=True)
""",
    },
    "06.2": {
        "away from the targets": """
def targeted(network, pictures, targets, epsilon, steps):
    x = pictures
    for _ in range(steps):
        step = 2.5 * epsilon / steps * loss_gradient(network, x, targets).sign()
        x = (pictures + (x + step - pictures).clamp(-epsilon, epsilon)).clamp(0, 1)
    return x
""",
        "budget of each step": """
def targeted(network, pictures, targets, epsilon, steps):
    x = pictures
    for _ in range(steps):
        step = 2.5 * epsilon / steps * loss_gradient(network, x, targets).sign()
        x = (x - step.clamp(-epsilon, epsilon)).clamp(0, 1)
    return x
""",
        "one gradient for all steps": """
def targeted(network, pictures, targets, epsilon, steps):
    x, way = pictures, loss_gradient(network, pictures, targets).sign()
    for _ in range(steps):
        x = (pictures + (x - 2.5 * epsilon / steps * way - pictures).clamp(-epsilon, epsilon)).clamp(0, 1)
    return x
""",
        "not clipped to 0 and 1": """
def targeted(network, pictures, targets, epsilon, steps):
    x = pictures
    for _ in range(steps):
        step = 2.5 * epsilon / steps * loss_gradient(network, x, targets).sign()
        x = pictures + (x - step - pictures).clamp(-epsilon, epsilon)
    return x
""",
        "steps of epsilon over steps": """
def targeted(network, pictures, targets, epsilon, steps):
    x = pictures
    for _ in range(steps):
        step = epsilon / steps * loss_gradient(network, x, targets).sign()
        x = (pictures + (x - step - pictures).clamp(-epsilon, epsilon)).clamp(0, 1)
    return x
""",
        "without the sign": """
def targeted(network, pictures, targets, epsilon, steps):
    x = pictures
    for _ in range(steps):
        step = 2.5 * epsilon / steps * loss_gradient(network, x, targets)
        x = (pictures + (x - step - pictures).clamp(-epsilon, epsilon)).clamp(0, 1)
    return x
""",
        "only the change": """
def targeted(network, pictures, targets, epsilon, steps):
    d = torch.zeros_like(pictures)
    for _ in range(steps):
        d = d - 2.5 * epsilon / steps * loss_gradient(network, pictures + d, targets).sign()
        d = (pictures + d.clamp(-epsilon, epsilon)).clamp(0, 1) - pictures
    return d
""",
    },
    "06.3": {
        "the bug": """
def defended(network, pictures, values=6):
    few = (pictures * (values - 1)).round() / (values - 1)
    return network(few)
""",
        "no defence": "def defended(network, pictures, values=6):\n    return network(pictures)\n",
        "nothing is constant": """
def defended(network, pictures, values=6):
    few = (pictures * (values - 1)).round() / (values - 1)
    return network(pictures + (few - pictures))
""",
        "the wrong part is constant": """
def defended(network, pictures, values=6):
    few = (pictures * (values - 1)).round() / (values - 1)
    return network(few + (pictures - few).detach())
""",
        "all is constant": """
def defended(network, pictures, values=6):
    few = (pictures * (values - 1)).round() / (values - 1)
    return network((pictures + few - pictures).detach())
""",
        "a gradient from elsewhere": """
def defended(network, pictures, values=6):
    few = (pictures * (values - 1)).round() / (values - 1)
    plain = network(pictures)
    return plain + (network(few) - plain).detach()
""",
        "rounded to grey levels": """
def defended(network, pictures, values=6):
    return network(pictures + (in_file(pictures) - pictures).detach())
""",
    },
    "06.4": {
        "the largest that stands": _MINE + "by_attack = [k - 1 for k in by_attack]\n",
        "of the class frog": _MINE + "frog = torch.full_like(own, 6)\n"
        "by_attack = first(loss_gradient(model, mine, frog).sign())\n",
        "down the loss": _MINE + "by_attack = first(-loss_gradient(model, mine, own).sign())\n",
        "noise without its sign": _MINE + "by_noise = first(torch.rand_like(noise))\n",
        "of another student": _MINE.replace("cu.student_seed(student)", "12345"),
        "means": _MINE + "by_attack, by_noise = sum(by_attack) / 4, sum(by_noise) / 4\n",
        "between 0 and 1": _MINE + "by_attack = [k / 255 for k in by_attack]\n",
    },
}

#: The whole cell of a task; each may earn nothing for that task. A library's function is refused.
CHEATS = {
    "06.2": {
        "library: foolbox": """
import foolbox

def targeted(network, pictures, targets, epsilon, steps):
    attack = foolbox.attacks.LinfPGD(steps=steps, rel_stepsize=2.5 / steps, random_start=False)
    subject = foolbox.PyTorchModel(network, bounds=(0, 1), device="cpu")
    wish = foolbox.criteria.TargetedMisclassification(targets)
    return attack(subject, pictures, wish, epsilons=epsilon)[1]
""",
    },
}
