//! How long a model in an ONNX file takes for 10,000 rows: `onnx_rows FILE COLUMNS [THREADS]`.
//!
//! The same beside ONNX Runtime, with a forest of 100 trees (`pip install scikit-learn skl2onnx onnxruntime`):
//!
//! ```python
//! import time, numpy, onnxruntime
//! from sklearn.datasets import make_classification
//! from sklearn.ensemble import RandomForestClassifier
//! from skl2onnx import to_onnx
//!
//! x, y = make_classification(5000, 20, n_informative=10, n_classes=3, random_state=0)
//! x = x.astype("float32")
//! forest = RandomForestClassifier(100, max_depth=12, random_state=0).fit(x, y)
//! model = to_onnx(forest, x[:1], options={"zipmap": False}).SerializeToString()
//! open("forest.onnx", "wb").write(model)
//! options = onnxruntime.SessionOptions()
//! options.intra_op_num_threads = 2
//! session = onnxruntime.InferenceSession(model, options)
//! rows = (numpy.arange(10_000 * 20) * 7919 % 1021 / 170 - 3).astype("float32").reshape(-1, 20)
//! times = []
//! for _ in range(30):
//!     start = time.perf_counter()
//!     session.run(None, {"X": rows})
//!     times.append(time.perf_counter() - start)
//! print(sorted(times)[15] * 1e3, "ms")
//! ```

use escala_models::Compute;
use escala_models::onnx::{Input, Model};
use std::time::Instant;

const ROWS: usize = 10_000;
const RUNS: usize = 30;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, columns, threads @ ..] = arguments.as_slice() else {
        return Err("usage: onnx_rows FILE COLUMNS [THREADS]".into());
    };
    let columns: usize = columns.parse()?;
    let threads = threads.first().map_or(Ok(2), |threads| threads.parse())?;
    let model = Model::open(file)?;
    let name = model.inputs().first().ok_or("no input")?.name.clone();
    let number = |at: usize| ((at * 7919 % 1021) as f64 / 170.0 - 3.0) as f32;
    let rows: Vec<f32> = (0..ROWS * columns).map(number).collect();
    let compute = Compute::cpu(threads);
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let start = Instant::now();
        let input = Input {
            name: &name,
            shape: &[ROWS, columns],
            data: rows.as_slice().into(),
        };
        model.run(&compute, &[input])?;
        times.push(start.elapsed());
    }
    times.sort();
    let (best, middle) = (times[0], times[RUNS / 2]);
    println!(
        "{ROWS} rows, {threads} threads: {:.2} ms (best {:.2}); {} bytes held",
        middle.as_secs_f64() * 1e3,
        best.as_secs_f64() * 1e3,
        model.memory()
    );
    Ok(())
}
