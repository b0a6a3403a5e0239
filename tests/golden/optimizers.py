"""Writes optimizers.json: five steps of Keras's optimizers, and of MXNet's gradient descent whose weights decay.

    pip install keras==3.15.1 jax==0.10.2
    KERAS_BACKEND=jax python optimizers.py > optimizers.json

From `w = [1, -2, 3]` under the loss `sum(w^2 * [1, 2, 3])`, whose gradient is `2 w [1, 2, 3]`.
"""

import json

import keras
import numpy as np

START, FACTORS = np.array([1.0, -2.0, 3.0]), np.array([1.0, 2.0, 3.0])


def after(optimizer):
    variable = keras.Variable(START.astype("float32"))
    optimizer.build([variable])
    for _ in range(5):
        optimizer.apply([2 * FACTORS.astype("float32") * variable], [variable])
    return np.array(variable).tolist()


def descended(rate, momentum, decay, nesterov):
    """MXNet's sgd_mom_update; its NAG is the same with the velocity looked ahead of, at one rate."""
    w, velocity = START.copy(), np.zeros(3)
    for _ in range(5):
        push = rate * (2 * FACTORS * w + decay * w)
        velocity = momentum * velocity - push
        w += momentum * velocity - push if nesterov else velocity
    return w.tolist()


optimizers = keras.optimizers
cases = [
    ({"rule": "adam", "beta1": 0.8, "beta2": 0.95, "epsilon": 1e-7}, 0.1, optimizers.Adam(0.1, 0.8, 0.95, 1e-7)),
    ({"rule": "sgd", "momentum": 0.9, "nesterov": False}, 0.01, optimizers.SGD(0.01, 0.9)),
    ({"rule": "sgd", "momentum": 0.9, "nesterov": True}, 0.01, optimizers.SGD(0.01, 0.9, nesterov=True)),
    ({"rule": "rmsprop", "rho": 0.95, "epsilon": 1e-7}, 0.1, optimizers.RMSprop(0.1, 0.95, epsilon=1e-7)),
    ({"rule": "rmsprop", "rho": 0.9, "epsilon": 0.5}, 0.1, optimizers.RMSprop(0.1, 0.9, epsilon=0.5)),
    ({"rule": "adagrad", "initial": 0.0001, "epsilon": 0.5}, 0.1, optimizers.Adagrad(0.1, 0.0001, 0.5)),
    ({"rule": "adadelta", "rho": 0.95, "epsilon": 1e-3}, 1.0, optimizers.Adadelta(1.0, 0.95, 1e-3)),
]
told = [{"rule": rule, "rate": rate, "decay": 0.0, "after": after(optimizer)} for rule, rate, optimizer in cases]
for nesterov in (False, True):
    rule = {"rule": "sgd", "momentum": 0.9, "nesterov": nesterov}
    told.append({"rule": rule, "rate": 0.01, "decay": 0.3, "after": descended(0.01, 0.9, 0.3, nesterov)})
print(json.dumps(told, indent=1))
