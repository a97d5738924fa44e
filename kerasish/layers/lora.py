"""Low-rank adaptation (E. J. Hu et al. 2021): a frozen weight and a small trainable change of it, for any layer with a kernel."""

from kerasish import initializers, ops
from kerasish.layers.layer import Layer


def adaptable(name):
    """Property: the weight that the layer keeps as ``_<name>``, with its low-rank change added once LoRA is on."""

    def weight(self):
        if not self.built:
            raise AttributeError(f"You must build the layer before accessing `{name}`.")
        return self._adapted() if self.lora_enabled else getattr(self, f"_{name}")

    weight.__doc__ = f"The {name} that calls use."
    return property(weight)


class LoraLayer(Layer):
    """Base of layers whose main weight can be adapted. A subclass has fields ``lora_rank`` and ``lora_alpha``, keeps the weight as
    ``_kernel`` (``_<_lora_target>``), made first of its weights, and declares ``kernel = adaptable("kernel")``.
    """

    _lora_target = "kernel"
    _config_without_none = ("lora_rank", "lora_alpha")
    lora_enabled = False

    def check(self):
        super().check()
        if self.lora_alpha is None:
            self.lora_alpha = self.lora_rank

    def _post_build(self):
        super()._post_build()
        if self.lora_rank and not self.lora_enabled:
            self.enable_lora(self.lora_rank, self.lora_alpha)

    def _adapted(self):
        change = ops.matmul(self._lora_variable("a"), self._lora_variable("b"))
        weight = ops.add(getattr(self, f"_{self._lora_target}"), (self.lora_alpha / self.lora_rank) * change)
        return ops.cast(weight, self.compute_dtype)

    def _lora_variable(self, which):
        return getattr(self, f"lora_{self._lora_target}_{which}")

    def enable_lora(self, rank, lora_alpha=None, a_initializer="he_uniform", b_initializer="zeros"):
        """Freeze the weight and train ``lora_alpha / rank * (a @ b)`` on top of it (``lora_alpha`` is ``rank`` by default)."""
        target = self._lora_target
        if getattr(self, f"{target}_constraint"):
            raise ValueError(f"LoRA is incompatible with a constraint of the {target}: leave `{target}_constraint` out.")
        if not self.built:
            raise ValueError("Cannot enable lora on a layer that isn't yet built.")
        if self.lora_enabled:
            raise ValueError("lora is already enabled on this layer, which is possible once.")
        weight = getattr(self, f"_{target}")
        with self._tracker.unlocked():  # in float32 whatever the policy: the change is small
            for which, shape, initializer in (
                ("a", (*weight.shape[:-1], rank), a_initializer),
                ("b", (rank, weight.shape[-1]), b_initializer),
            ):
                name = f"lora_{target}_{which}"
                regularizer = getattr(self, f"{target}_regularizer")
                setattr(self, name, self.add_weight(shape, initializers.get(initializer), "float32", regularizer=regularizer, name=name))
        weight.trainable = False
        self.lora_enabled, self.lora_rank = True, rank
        self.lora_alpha = rank if lora_alpha is None else lora_alpha

    # ---- files hold the merged weight, so that they read the same with and without LoRA
    def _variables_in_files(self):
        change = [self._lora_variable(which) for which in "ab"] if self.lora_enabled else []
        return [v for v in super()._variables_in_files() if not any(v is x for x in change)]

    def save_own_variables(self, store):
        super().save_own_variables(store)
        if self.lora_enabled:
            store["0"] = self._adapted().numpy()

    def load_own_variables(self, store):
        super().load_own_variables(store)
        if self.lora_enabled:
            for which in "ab":
                variable = self._lora_variable(which)
                variable.assign(ops.zeros(variable.shape))
