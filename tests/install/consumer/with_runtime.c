/* A product that runs packed models: needs nnq::runtime only, here through the C API. */
#include <nnq/nnq.h>
#include <stdio.h>

int main(void) {
  nnq_model* model = NULL;
  const nnq_status status = nnq_model_load("does-not-exist.nnq", &model);
  if (status == NNQ_OK || model != NULL) return 1;
  printf("%s\n", nnq_status_message());
  return 0;
}
