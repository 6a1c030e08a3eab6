#include "nnq/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "cli/inspection.h"
#include "cli/measure.h"
#include "cli/table.h"
#include "cli/verb.h"
#include "core/atomic_file.h"
#include "nnq/error.h"
#include "nnq/program.h"
#include "report/interaction_plot.h"

namespace nnq::cli {
namespace {

using nlohmann::ordered_json;

/// One line of the table: a run, or the float model that runs started from.
struct Row {
  RunSummary run;
  bool reference = false;
  std::string bits;
  std::size_t bytes = 0;  // of the file now, or as recorded when it is gone
  RunMeasurement measured;
  RunMeasurement float_measured;  // of the model it started from

  double value() const { return measured.done ? measured.value : run.value; }
  double float_value() const { return float_measured.done ? float_measured.value : run.float_value; }
};

std::size_t bytes_of(const std::filesystem::path& file, std::size_t recorded) {
  std::error_code failed;
  const auto bytes = file.empty() ? 0 : std::filesystem::file_size(file, failed);
  return file.empty() || failed ? recorded : static_cast<std::size_t>(bytes);
}

class Report final : public Verb {
 public:
  std::string name() const override { return "report"; }
  std::string summary() const override { return "one table of finished runs, and a page with their curves"; }
  std::vector<std::string> examples() const override {
    return {"nnq report runs/*", "nnq report runs/w4a4-1 runs/w2a2-1 --measure -o report.html",
            "nnq report runs/* --measure --float models/fashion_mnist_float.onnx"};
  }
  void options(CLI::App& app) override {
    app.add_option("RUN", folders_, "run directories")->required();
    app.add_option("-o,--output", output_, "also write a self-contained page (.html)");
    app.add_flag("--measure", measure_, "run every .nnq on the whole test split; compare with what training simulated");
    app.add_option("--data", data_, "data set for --measure (default: the run's own)");
    app.add_option("--interactions", interactions_, "write the channel graph that the first run mined (SVG)");
    app.add_option("--float", float_model_, "the float model (.onnx), where a run does not name it");
    app.add_option("--threads", threads_, "threads for accuracies (0: all cores); times are of one thread")
        ->check(CLI::Range(0, 1024));
  }

  int run(bool json, ordered_json& document) override {
    if (!interactions_.empty()) return draw_interactions(json, document);
    if (!float_model_.empty()) load_model(float_model_);  // or its row would show what another model was
    if (!output_.empty()) throw_if_error(check_output(output_, {}, ""));
    std::vector<Row> rows;
    for (const std::string& folder : folders_) rows.push_back(read(folder));
    Measurer measurer(threads_);
    for (Row& row : rows) {
      if (!measure_) break;
      const std::string data = data_.empty() ? row.run.data : data_;
      if (data.empty()) throw Error("does not say its data set", row.run.folder.string(), "give it: --data NAME");
      row.measured = measurer.packed(row.run, data);
      if (!row.run.float_model.empty()) row.float_measured = measurer.reference(row.run.float_model.string(), data);
    }
    const std::map<std::string, double> times = measurer.milliseconds();
    for (Row& row : rows) {
      if (row.measured.done) row.measured.milliseconds = times.at(row.run.packed.string());
      if (row.float_measured.done) row.float_measured.milliseconds = times.at(row.run.float_model.string());
    }
    const std::vector<Row> table = with_references(rows);
    document["file"] = output_;
    document["runs"] = ordered_json::array();
    for (const Row& row : table) document["runs"].push_back(to_json(row));
    if (!output_.empty()) write_page(rows);
    if (!json) print(table);
    return done;
  }

 private:
  int draw_interactions(bool json, ordered_json& document) const {
    const std::vector<PlotEdge> edges = read_interactions(folders_.front());
    write_file_atomically(
        interactions_,
        interactions_svg(edges, "mined by " + std::filesystem::path(folders_.front()).filename().string()));
    document["file"] = interactions_;
    document["edges"] = edges.size();
    if (!json) fmt::print("{}: {} edges\n", interactions_, edges.size());
    return done;
  }

  Row read(const std::string& folder) const {
    Row row;
    row.run = read_run(folder);
    if (!float_model_.empty()) row.run.float_model = float_model_;
    const std::filesystem::path& result = row.run.packed.empty() ? row.run.model : row.run.packed;
    row.bytes = bytes_of(result, row.run.bytes);
    row.run.bytes = row.bytes;
    if (!row.run.float_model.empty()) {
      row.run.float_bytes = bytes_of(row.run.float_model, row.run.float_bytes);
      row.run.has_float = row.run.float_bytes > 0;
    }
    std::error_code ignored;
    if (!row.run.packed.empty() && std::filesystem::exists(row.run.packed, ignored))
      row.bits = inspect_program(load_model(row.run.packed.string()).packed->program(), {}).bits_label();
    return row;
  }

  /// The rows with a line for each float model in front of the first run that started from it.
  static std::vector<Row> with_references(const std::vector<Row>& rows) {
    std::vector<Row> table;
    std::vector<std::pair<std::filesystem::path, std::size_t>> shown;
    for (const Row& row : rows) {
      const std::pair key{row.run.float_model, row.run.float_bytes};
      if (row.run.has_float && std::find(shown.begin(), shown.end(), key) == shown.end()) {
        shown.push_back(key);
        Row reference;
        reference.reference = true;
        reference.bits = "float";
        reference.run.name = row.run.float_model.empty() ? "float" : row.run.float_model.stem().string();
        reference.run.folder = row.run.folder;
        reference.run.data = row.run.data;
        reference.run.value = row.run.float_value;
        reference.run.has_value = row.run.float_value > 0;
        reference.bytes = row.run.float_bytes;
        reference.measured = row.float_measured;
        table.push_back(std::move(reference));
      }
      table.push_back(row);
    }
    return table;
  }

  static ordered_json to_json(const Row& row) {
    const auto when = [](bool known, double value) { return known ? ordered_json(value) : ordered_json(); };
    const bool has_value = row.run.has_value || row.measured.done;
    const bool both = row.run.has_float && !row.reference;
    const bool times = row.measured.done && row.float_measured.done && row.measured.milliseconds > 0;
    return {{"run", row.run.name},
            {"reference", row.reference},
            {"bits", row.bits},
            {"data", row.run.data},
            {"metric", "accuracy"},
            {"value", when(has_value, row.value())},
            {"drop", when(both && has_value, row.float_value() - row.value())},
            {"count", row.measured.count},
            {"bytes", row.bytes},
            {"smaller", when(both && row.bytes > 0, ratio(row))},
            {"median_ms", when(row.measured.done, row.measured.milliseconds)},
            {"faster", when(times, times ? row.float_measured.milliseconds / row.measured.milliseconds : 0)},
            {"agreement", when(row.measured.has_agreement, row.measured.agreement)}};
  }

  static double ratio(const Row& row) {
    return static_cast<double>(row.run.float_bytes) / static_cast<double>(std::max<std::size_t>(row.bytes, 1));
  }

  static std::string cell(const ordered_json& value, int digits, const char* unit = "") {
    return value.is_null() ? "" : fixed(value.get<double>(), digits) + unit;
  }

  void print(const std::vector<Row>& rows) const {
    constexpr auto right = Table::Align::right;
    std::vector<Table::Column> columns = {
        {"run"}, {"bits"}, {"accuracy %", right}, {"drop", right}, {"bytes on disk", right}, {"smaller", right}};
    if (measure_) columns.insert(columns.end(), {{"ms an image", right}, {"faster", right}, {"agreement %", right}});
    Table table(columns);
    for (const Row& row : rows) {
      const ordered_json line = to_json(row);
      std::vector<std::string> cells = {row.run.name,
                                        row.bits,
                                        cell(line["value"], 2),
                                        cell(line["drop"], 2),
                                        grouped(static_cast<std::int64_t>(row.bytes)),
                                        cell(line["smaller"], 1, "x")};
      if (measure_) {
        cells.push_back(cell(line["median_ms"], 3));
        cells.push_back(cell(line["faster"], 1, "x"));
        cells.push_back(cell(line["agreement"], 2));
      }
      table.row(std::move(cells));
    }
    fmt::print("{}", table.text());
    if (measure_) print_footnotes(rows);
    if (!output_.empty()) fmt::print("\npage: {}\n", output_);
  }

  static void print_footnotes(const std::vector<Row>& rows) {
    const auto measured = std::find_if(rows.begin(), rows.end(), [](const Row& row) { return row.measured.done; });
    if (measured == rows.end()) return;
    fmt::print(
        "\naccuracy    on all {} test images, by the packed file in nnq's own runtime; drop in points\n"
        "ms, faster  median of one image, models in turns, {}; against the float model in the same runtime\n"
        "agreement   predictions equal to those that training simulated\n",
        grouped(measured->measured.count), measured->measured.threads_text);
  }

  void write_page(const std::vector<Row>& rows) const {
    std::vector<RunSummary> runs;
    std::vector<RunMeasurement> measurements;
    for (const Row& row : rows) {
      runs.push_back(row.run);
      if (row.float_measured.done) runs.back().float_value = row.float_measured.value;
      measurements.push_back(row.measured);
    }
    write_file_atomically(output_, report_html(runs, measurements));
  }

  std::vector<std::string> folders_;
  std::string output_, data_, float_model_, interactions_;
  bool measure_ = false;
  int threads_ = 0;
};

}  // namespace
}  // namespace nnq::cli

NNQ_VERB(report) { return std::make_unique<nnq::cli::Report>(); }
