/* Classifies images with a packed model, through the C API.
 *
 *   cmake -S examples/c -B build/example_c -DCMAKE_PREFIX_PATH=PREFIX && cmake --build build/example_c
 *   build/example_c/classify model.nnq 0.5                # every pixel has the value 0.5
 *
 * A product would fill `pixels` from its camera. Free dimensions (batch, height, width) are taken as 1. */
#include <nnq/nnq.h>
#include <stdio.h>
#include <stdlib.h>

static int fail(const char* what) {
  fprintf(stderr, "classify: %s: %s\n", what, nnq_status_message());
  return 1;
}

/* Index of the largest of n floats. */
static size_t largest(const float* values, size_t n) {
  size_t best = 0;
  for (size_t i = 1; i < n; ++i)
    if (values[i] > values[best]) best = i;
  return best;
}

/* Describes the input that `port` asks for, in fresh memory; 0 when there is no memory. */
static int make_input(const nnq_port* port, float value, nnq_tensor* x) {
  size_t count = 1;
  x->dtype = port->dtype;
  x->rank = port->rank < 0 ? 0 : port->rank;
  for (int32_t d = 0; d < x->rank; ++d) {
    x->dims[d] = port->dims[d] < 0 ? 1 : port->dims[d];
    count *= (size_t)x->dims[d];
  }
  x->bytes = count * sizeof(float);
  x->data = malloc(x->bytes);
  for (size_t i = 0; x->data != NULL && i < count; ++i) ((float*)x->data)[i] = value;
  return x->data != NULL;
}

int main(int argc, char** argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: classify MODEL.nnq [PIXEL_VALUE]\n");
    return 2;
  }
  int result = 0;
  nnq_model* model = NULL;
  nnq_session* session = NULL;
  nnq_port port;
  nnq_tensor x = {0}, y = {0};
  if (nnq_model_load(argv[1], &model) != NNQ_OK) return fail("loading");
  if (nnq_model_input_count(model) != 1 || nnq_model_output_count(model) != 1 ||
      nnq_model_input(model, 0, &port) != NNQ_OK || port.dtype != NNQ_FLOAT32) {
    fprintf(stderr, "classify: %s is not a model of one float32 input and one output\n", argv[1]);
    result = 1;
  } else if (nnq_session_create(model, NULL, &session) != NNQ_OK) {
    result = fail("making a session");
  } else if (!make_input(&port, argc > 2 ? (float)atof(argv[2]) : 0, &x)) {
    fprintf(stderr, "classify: no memory for the input\n");
    result = 1;
  } else if (nnq_session_run(session, &x, 1, &y, 1) != NNQ_OK) {
    result = fail("running");
  } else if (y.dtype == NNQ_FLOAT32 && y.bytes > 0) {
    const float* scores = y.data; /* the session's memory, valid until its next run */
    const size_t best = largest(scores, y.bytes / sizeof(float));
    printf("class %lu, score %g (%lu bytes planned, %s)\n", (unsigned long)best, (double)scores[best],
           (unsigned long)nnq_session_peak_bytes(session), nnq_session_isa(session));
  }
  free(x.data);
  nnq_session_free(session);
  nnq_model_free(model);
  return result;
}
