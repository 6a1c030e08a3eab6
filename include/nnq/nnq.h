/* The packed runtime, C99: load a .nnq once, make as many sessions of it as there are threads that run it.
 *
 *   nnq_model* model = NULL;
 *   nnq_session* session = NULL;
 *   if (nnq_model_load("lenet5.nnq", &model) != NNQ_OK) { puts(nnq_status_message()); return 1; }
 *   nnq_session_create(model, NULL, &session);
 *   nnq_tensor x = {NNQ_FLOAT32, 4, {1, 1, 28, 28}, pixels, sizeof pixels}, y;
 *   if (nnq_session_run(session, &x, 1, &y, 1) == NNQ_OK) use(y.data, y.bytes);
 *   nnq_session_free(session);
 *   nnq_model_free(model);
 *
 * Link nnq::runtime (no dependency but the C++ standard library) or nnq::nnq. No function throws, prints or ends the
 * program. A NULL argument gives NNQ_INVALID_ARGUMENT (from the functions that return a value: NULL, 0 or -1), except
 * where it is said to be allowed. Models may be shared by threads; a session serves one thread at a time. */
#ifndef NNQ_NNQ_H
#define NNQ_NNQ_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Outcome of a call. */
typedef enum nnq_status {
  NNQ_OK = 0,
  NNQ_INVALID_ARGUMENT, /* wrong shape, type, range or NULL; a file that cannot be opened */
  NNQ_BAD_FILE,         /* truncated, corrupt, hostile, or of an unknown version */
  NNQ_UNSUPPORTED,      /* valid, but this build or machine cannot do it */
  NNQ_OUT_OF_MEMORY,    /* no memory, or the session's cap would be exceeded; nothing was run */
  NNQ_BUSY,             /* the session is in use by another thread */
  NNQ_INTERNAL          /* a fault of nnq's own */
} nnq_status;

/* "0.1.0" */
const char* nnq_version(void);

/* One line on the last call that failed on this thread: what was wrong, where. "" when none has failed yet. Valid until
 * the next failure on this thread; longer lines are cut at 1023 bytes. */
const char* nnq_status_message(void);

/* Type of an element, one of: */
typedef int32_t nnq_dtype;
enum {
  NNQ_FLOAT32 = 0,
  NNQ_FLOAT64,
  NNQ_FLOAT16,
  NNQ_BFLOAT16,
  NNQ_INT8,
  NNQ_UINT8,
  NNQ_INT16,
  NNQ_UINT16,
  NNQ_INT32,
  NNQ_UINT32,
  NNQ_INT64,
  NNQ_UINT64,
  NNQ_BOOL /* one byte, 0 or 1 */
};

#define NNQ_MAX_RANK 8

/* A dense row-major array in memory that belongs to somebody else. */
typedef struct nnq_tensor {
  nnq_dtype dtype;
  int32_t rank; /* 0: a scalar */
  int64_t dims[NNQ_MAX_RANK];
  void* data;   /* not written through by nnq when the tensor is an input; any alignment */
  size_t bytes; /* of data: elements times size of one */
} nnq_tensor;

/* What a model declares for one input or output. */
typedef struct nnq_port {
  const char* name; /* valid as long as the model */
  nnq_dtype dtype;
  int32_t rank;               /* -1: any */
  int64_t dims[NNQ_MAX_RANK]; /* -1: free (batch, height, width) */
} nnq_port;

/* ---- models ---- */

typedef struct nnq_model nnq_model;

/* Maps a .nnq file and verifies it. The file must not be cut short or written over in place while the model lives
 * (replacing it by a rename is safe). On failure *model is set to NULL. */
nnq_status nnq_model_load(const char* path, nnq_model** model);
/* The same from memory, which is copied and may go away. */
nnq_status nnq_model_load_bytes(const void* data, size_t bytes, nnq_model** model);
/* Sessions of the model keep working. NULL is allowed. */
void nnq_model_free(nnq_model* model);

int32_t nnq_model_input_count(const nnq_model* model);
int32_t nnq_model_output_count(const nnq_model* model);
/* Fills *port for input or output 0 .. count - 1. NNQ_UNSUPPORTED: an array of strings, or of more than NNQ_MAX_RANK
 * dimensions. */
nnq_status nnq_model_input(const nnq_model* model, int32_t index, nnq_port* port);
nnq_status nnq_model_output(const nnq_model* model, int32_t index, nnq_port* port);
/* Text stored in the model under `key` (labels, input normalisation, ...), valid as long as the model; NULL when there
 * is none, which is no failure. */
const char* nnq_model_metadata(const nnq_model* model, const char* key);

/* ---- sessions ---- */

typedef struct nnq_session nnq_session;

/* All zero is the default. */
typedef struct nnq_session_options {
  int32_t threads;   /* threads a run may use, 0 counts as 1; results do not depend on it */
  size_t memory_cap; /* bytes of planned memory allowed; 0: no cap */
  /* A folder where weights are kept as kernels want them, so that later processes map them instead of packing (copied;
   * NULL or "": off). See nnq::Session::Options::weights_cache. */
  const char* weights_cache;
} nnq_session_options;

/* `options` may be NULL: the default. On failure *session is set to NULL. */
nnq_status nnq_session_create(const nnq_model* model, const nnq_session_options* options, nnq_session** session);
/* NULL is allowed. */
void nnq_session_free(nnq_session* session);

/* Runs the model on all its inputs, in its order; input_count and output_count must be the model's.
 *
 * The session owns the results: on NNQ_OK every outputs[i] is overwritten with a view of the session's memory, valid
 * until the session's next run or its end. What outputs[] held before is not read. To keep a result, copy it; do not
 * write into it. Otherwise outputs[] stays as it was.
 *
 * The first run with new input shapes plans (allocates) its memory; further runs with the same shapes allocate nothing.
 */
nnq_status nnq_session_run(nnq_session* session, const nnq_tensor* inputs, int32_t input_count, nnq_tensor* outputs,
                           int32_t output_count);

/* Planned memory of the last run's shapes, in bytes: activations and scratch, not the weights in the file. */
size_t nnq_session_peak_bytes(const nnq_session* session);
/* Instruction set in use: "avx512", "avx2", "portable". */
const char* nnq_session_isa(const nnq_session* session);

#ifdef __cplusplus
}
#endif

#endif
