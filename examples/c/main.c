/* Image in, class out: a packed model in C99.
 *
 *   cmake -S examples/c -B build/example_c -DCMAKE_PREFIX_PATH=PREFIX && cmake --build build/example_c
 *   build/example_c/classify model.nnq image.ppm          # or .pgm, of the size that the model expects */
#include <nnq/nnq.h>
#include <stdio.h>
#include <stdlib.h>

static int fail(const char* what) {
  fprintf(stderr, "classify: %s: %s\n", what, nnq_status_message());
  return 1;
}

/* One number of a PNM header; comments run from # to the end of the line. Negative: there is none. */
static long header_number(FILE* file) {
  int c = fgetc(file);
  long value = -1;
  while (c == '#' || c == ' ' || c == '\n' || c == '\r' || c == '\t') {
    while (c == '#' && c != EOF && (c = fgetc(file)) != '\n') c = c == EOF ? EOF : '#';
    c = fgetc(file);
  }
  for (; c >= '0' && c <= '9' && value < 100000; c = fgetc(file)) value = (value < 0 ? 0 : value) * 10 + (c - '0');
  return value;
}

/* The pixels of a binary PGM (P5) or PPM (P6) of the wanted size, in fresh memory, or NULL with a message. */
static unsigned char* read_image(const char* path, long channels, long height, long width) {
  const size_t bytes = (size_t)(channels * height * width);
  unsigned char* pixels = NULL;
  FILE* file = fopen(path, "rb");
  if (file == NULL) {
    fprintf(stderr, "classify: %s cannot be opened\n", path);
    return NULL;
  }
  const int wanted = channels == 1 ? '5' : '6';
  const int is_pnm = fgetc(file) == 'P', kind = fgetc(file);
  const long w = header_number(file), h = header_number(file), most = header_number(file);
  if (!is_pnm || kind != wanted || w != width || h != height || most != 255) {
    fprintf(stderr, "classify: %s is not a P%c image of %ld x %ld pixels with 8 bits\n", path, wanted, width, height);
  } else if ((pixels = malloc(bytes)) != NULL && fread(pixels, 1, bytes, file) != bytes) {
    fprintf(stderr, "classify: %s is cut short\n", path);
    free(pixels);
    pixels = NULL;
  }
  fclose(file);
  return pixels;
}

/* Number `index` of a comma-separated list in the model's metadata; the last one stands for all that follow. */
static float metadata_number(const nnq_model* model, const char* key, long index, float otherwise) {
  const char* text = nnq_model_metadata(model, key);
  float value = otherwise;
  while (text != NULL && *text != '\0') {
    char* end = NULL;
    value = strtof(text, &end);
    if (index-- == 0 || end == text || *end != ',') break;
    text = end + 1;
  }
  return value;
}

/* Interleaved bytes to planes of floats, normalised as the model was trained: (pixel / 255 - mean) / deviation. */
static float* make_input(const nnq_model* model, const unsigned char* pixels, long channels, long plane) {
  float* x = malloc((size_t)(channels * plane) * sizeof(float));
  for (long c = 0; x != NULL && c < channels; ++c) {
    const float mean = metadata_number(model, "nnq.input.mean", c, 0);
    const float deviation = metadata_number(model, "nnq.input.std", c, 1);
    for (long i = 0; i < plane; ++i)
      x[c * plane + i] = ((float)pixels[i * channels + c] / 255.0f - mean) / deviation;
  }
  return x;
}

static size_t largest(const float* values, size_t n) {
  size_t best = 0;
  for (size_t i = 1; i < n; ++i)
    if (values[i] > values[best]) best = i;
  return best;
}

/* Runs the model on one image and prints the class. */
static int classify(const nnq_model* model, const float* x, const nnq_port* port) {
  nnq_session* session = NULL;
  if (nnq_session_create(model, NULL, &session) != NNQ_OK) return fail("making a session");
  nnq_tensor in = {NNQ_FLOAT32, 4, {1, port->dims[1], port->dims[2], port->dims[3]}, (void*)x, 0}, out = {0};
  in.bytes = (size_t)(port->dims[1] * port->dims[2] * port->dims[3]) * sizeof(float);
  int result = 0;
  if (nnq_session_run(session, &in, 1, &out, 1) != NNQ_OK) {
    result = fail("running");
  } else if (out.dtype == NNQ_FLOAT32 && out.bytes > 0) {
    const float* scores = out.data; /* the session's memory, valid until its next run */
    const size_t best = largest(scores, out.bytes / sizeof(float));
    printf("class %lu, score %g (%lu bytes planned, %s)\n", (unsigned long)best, (double)scores[best],
           (unsigned long)nnq_session_peak_bytes(session), nnq_session_isa(session));
  }
  nnq_session_free(session);
  return result;
}

int main(int argc, char** argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: classify MODEL.nnq IMAGE.ppm\n");
    return 2;
  }
  int result = 1;
  nnq_model* model = NULL;
  nnq_port port;
  if (nnq_model_load(argv[1], &model) != NNQ_OK) return fail("loading");
  if (nnq_model_input_count(model) != 1 || nnq_model_output_count(model) != 1 ||
      nnq_model_input(model, 0, &port) != NNQ_OK || port.dtype != NNQ_FLOAT32 || port.rank != 4 ||
      (port.dims[1] != 1 && port.dims[1] != 3) || port.dims[2] < 1 || port.dims[3] < 1) {
    fprintf(stderr, "classify: %s is not a model of one image and one output\n", argv[1]);
  } else {
    const long channels = (long)port.dims[1], height = (long)port.dims[2], width = (long)port.dims[3];
    unsigned char* pixels = read_image(argv[2], channels, height, width);
    float* x = pixels == NULL ? NULL : make_input(model, pixels, channels, height * width);
    if (x != NULL) result = classify(model, x, &port);
    free(x);
    free(pixels);
  }
  nnq_model_free(model);
  return result;
}
