// What a network family's file registers. A family may give several names (resnet20, resnet32, ...).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "nnq/zoo.h"

namespace nnq::zoo {

/// Parameters of one build, checked and with defaults filled in.
class Values {
 public:
  Values(std::string network, std::map<std::string, std::string> values)
      : network_(std::move(network)), values_(std::move(values)) {}
  std::int64_t integer(const std::string& key, std::int64_t low, std::int64_t high) const;
  double number(const std::string& key, double low, double high) const;
  std::string choice(const std::string& key, const std::vector<std::string>& allowed) const;
  std::vector<std::int64_t> integers(const std::string& key, std::int64_t low,
                                     std::int64_t high) const;  // "512,512"; "" = none

 private:
  std::string network_;
  std::map<std::string, std::string> values_;
};

struct Network {
  ZooEntry entry;
  std::function<Graph(const Values& values, std::uint64_t seed)> build;
};

}  // namespace nnq::zoo

/// Last line of a family file: NNQ_ZOO(lenet) { return {Network{...}, ...}; }
#define NNQ_ZOO(id)                                 \
  namespace nnq::zoo {                              \
  std::vector<::nnq::zoo::Network> register_##id(); \
  }                                                 \
  std::vector<::nnq::zoo::Network> nnq::zoo::register_##id()
