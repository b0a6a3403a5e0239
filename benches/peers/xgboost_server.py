"""The peer of hosted models: FastAPI and XGBoost, as an experienced developer would serve one model of trees today.

    python xgboost_server.py MODEL_FILE PORT

    POST /invocations   rows of CSV                 scores, with commas between them
    GET  /ping          200 once the model is there
"""

import sys

import numpy as np
import uvicorn
import xgboost
from fastapi import FastAPI, Request, Response

booster = xgboost.Booster(model_file=sys.argv[1])
booster.set_param({"nthread": 1})
app = FastAPI()


@app.post("/invocations")
async def invocations(request: Request) -> Response:
    text = (await request.body()).decode()
    rows = np.array([line.split(",") for line in text.split()], dtype=np.float32)
    scores = booster.inplace_predict(rows)
    return Response(",".join(map(repr, map(float, scores))), media_type="text/csv")


@app.get("/ping")
def ping() -> dict:
    return {}


uvicorn.run(app, port=int(sys.argv[2]), loop="uvloop", http="httptools", access_log=False, log_level="warning")
