Balance = Literal['none', 'weights', 'sampling']

ClassifierMode = Literal['multilabel', 'multiclass']

ClipLoss = Literal['vicreg', 'nt-xent']

CollectionFormat = Literal['parquet', 'lancedb', 'hoplite']

Combine = Literal['mean', 'max']

Content = Literal['logmel', 'audio']

class CreateOptions(ModelChanges, EmbedderOptions):
    ...

DetectionFormat = Literal['csv', 'parquet', 'raven', 'audacity', 'kaleidoscope']

class EmbedderOptions(EncoderOptions):
    pooling: Pooling

class EncoderOptions(TypedDict):
    layout: LayoutName
    padding: Padding
    device: Device
    dtype: DType
    layers: int | Sequence[int] | None
    batch_windows: int | None
    engine: EngineName | None

Encoding = Literal['u8', 's16le', 's24le', 's24in32le', 's32le', 'f32le', 'f64le']

EngineName = Literal['auto', 'processes', 'onnxruntime', 'openvino']

ExportFormat = Literal['onnx', 'openvino', 'torch-export']

Family = Literal['axlstm', 'ssast']

GroupName = Literal['recording', 'site', 'day']

Grouping = Literal['file', 'folder']

HeadBegin = Literal['probe', 'zeros', 'model']

HeadChoice = Literal['logistic', 'lda', 'mlp', 'auto']

HeadMode = Literal['multilabel', 'multiclass', 'regression']

HeadName = Literal['logistic', 'lda', 'mlp']

HeadPooling = Literal['mean', 'mean+deviation', 'attention']

HitFormat = Literal['csv', 'json', 'raven', 'audacity']

LabelFormat = Literal['csv', 'raven', 'audacity', 'kaleidoscope', 'folders', 'hear']

LatentNorm = Literal['dimension', 'token']

LayoutName = Literal['time', 'published']

Loss = Literal['all', 'masked']

Masking = Literal['unstructured', 'timestep', 'inverse-blocks']

class ModelChanges(TypedDict):
    depth: int
    width: int
    heads: int
    expansion: float
    window_frames: int
    patch_frames: int
    patch_bands: int
    cls_token: bool
    masked_positions: bool
    conv_kernel: int
    projection_block: int

Padding = Literal['window', 'none']

class PartOptions(TypedDict):
    runner: RunnerName | None
    workers: int | None
    part_files: int
    part_mb: float
    ray_address: str | None
    part_folder: str | None
    gpus: float | None

Pooling = Literal['mean', 'mean+deviation']

Precision = Literal['float32', 'bfloat16', 'float16']

ProbePrecision = Literal['auto', 'float32', 'bfloat16']

ProtocolName = Literal['published', 'hear', 'standardised', 'linear', 'knn', 'logreg', 'lda']

RecordPrecision = Literal['float16', 'float32']

RunnerName = Literal['processes', 'ray', 'slurm']

Runtime = Literal['onnxruntime', 'openvino']

StreamUnit = Literal['frame', 'window']

SuggestBy = Literal['margin', 'quantile', 'diversity', 'random']

TaskKind = Literal['multiclass', 'multilabel', 'events', 'regression']

TeachUnit = Literal['frame', 'scene']

TrainingPrecision = Literal['auto', 'float32', 'bfloat16', 'float16']

Verdict = Literal['yes', 'no', 'unsure']

WandbMode = Literal['off', 'online', 'offline']
