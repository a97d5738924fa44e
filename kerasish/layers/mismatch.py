"""What to say when weights do not fit: the difference by path, with the shapes on both sides."""

_SHOWN = 40  # lines of one list


def differences(pairs, other="file"):
    """A line for each pair of shapes that differ; ``pairs`` are (name, shape in the model, shape in the other), None where missing.

    >>> print(*differences([("kernel", (4, 3), (4, 5)), ("bias", (3,), None), ("scale", (3,), (3,))]), sep="\\n")
    kernel: (4, 3) in the model, (4, 5) in the file (shapes must match)
    bias: (3,) in the model, missing from the file
    """
    lines = []
    for name, ours, theirs in pairs:
        if theirs is None:
            lines.append(f"{name}: {tuple(ours)} in the model, missing from the {other}")
        elif ours is None:
            lines.append(f"{name}: missing from the model, {tuple(theirs)} in the {other}")
        elif tuple(ours) != tuple(theirs):
            lines.append(f"{name}: {tuple(ours)} in the model, {tuple(theirs)} in the {other} (shapes must match)")
    return lines


def shortened(lines):
    """The first lines of a long list, and how many are left out."""
    left = len(lines) - _SHOWN
    return lines if left <= 0 else [*lines[:_SHOWN], f"... and {left} more"]


class Report:
    """Everything in a file that does not fit a model, by the path of the object."""

    def __init__(self, model, source):
        self.title = f"the weights in {source} do not fit model '{model.name}'"
        self.objects = []
        self.extra = []

    def add(self, path, what, lines=()):
        """An object at ``path`` that can't be loaded, why, and the variables that differ."""
        self.objects.append((path, what, list(lines)))

    def __bool__(self):
        return bool(self.objects)

    def __str__(self):
        lines = [f"A total of {len(self.objects)} objects could not be loaded: {self.title}."]
        for path, what, differing in self.objects:
            lines.append(f"  {path or 'the model itself'} {what}".rstrip())
            lines += [f"    {line}" for line in differing]
        if self.extra:
            lines.append("  In the file, but not in the model:")
            lines += [f"    {line}" for line in shortened(self.extra)]
        return "\n".join(shortened(lines) if len(lines) > 4 * _SHOWN else lines)


def differing_values(variables, values):
    """Lines for variables and the list of arrays meant for them, where number or shapes differ."""
    pairs = []
    for i in range(max(len(variables), len(values))):
        variable = variables[i] if i < len(variables) else None
        name = f"{i} ({variable.path})" if variable is not None else str(i)
        ours = None if variable is None else variable.shape
        pairs.append((name, ours, tuple(getattr(values[i], "shape", ())) if i < len(values) else None))
    return shortened(differences(pairs, "list"))
