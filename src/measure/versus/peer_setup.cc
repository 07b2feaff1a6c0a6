// SPDX-License-Identifier: Apache-2.0
#include "measure/versus/peer_setup.h"

#include <embed_llama_worker.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "base/check.h"
#include "base/file.h"
#include "base/sha256.h"
#include "base/text.h"
#include "cost/machine.h"
#include "io/atomic_file.h"

namespace paring::measure {

namespace {

namespace fs = std::filesystem;

constexpr double kVenvSeconds = 300;
constexpr double kDownloadSeconds = 1800;
constexpr double kCompileSeconds = 4 * 3600;
constexpr std::size_t kLogBytesMax = std::size_t{1} << 24;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool is_in_path(const std::string& program) {
  std::string_view rest = variable("PATH").empty() ? "/usr/bin:/bin" : std::getenv("PATH");
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find(':'), rest.size());
    const std::string path = std::string(rest.substr(0, end)) + "/" + program;
    if (::access(path.c_str(), X_OK) == 0) return true;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return false;
}

// One process at a time fills the folder.
class FolderLock {
 public:
  explicit FolderLock(const std::string& path)
      : descriptor_(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666)) {
    while (descriptor_ >= 0 && ::flock(descriptor_, LOCK_EX) != 0 && errno == EINTR) {
    }
  }
  ~FolderLock() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;
  bool is_open() const { return descriptor_ >= 0; }

 private:
  int descriptor_;
};

std::string last_line(const std::string& path) {
  const auto text = read_small_file(path, kLogBytesMax);
  if (!text) return {};
  const std::size_t end = text->find_last_not_of(" \n\r\t");
  if (end == std::string::npos) return {};
  const std::size_t begin = text->rfind('\n', end);
  const std::size_t from = begin == std::string::npos ? 0 : begin + 1;
  return escape_control(
      std::string_view(*text).substr(from, std::min<std::size_t>(end - from + 1, 300)));
}

struct Step {
  std::string what;
  std::vector<std::string> command;
  std::vector<std::string> environment;
  double seconds;
};

Result<void> run_step(const Step& step, const std::string& log, ProgressSink& progress) {
  progress.begin(step.what, 0);
  PARING_TRY(ChildProcess process,
             ChildProcess::start(
                 {.command = step.command, .environment = step.environment, .log_path = log}));
  const std::optional<int> code = process.wait(step.seconds);
  progress.end();
  if (code == 0) return {};
  const std::string hint = fmt::format("its output is in '{}'", log);
  if (!code) {
    return Error{ErrorCode::kDeadline,
                 fmt::format("{} took more than {}", step.what, format_duration(step.seconds)),
                 hint};
  }
  return Error{ErrorCode::kUnavailable,
               fmt::format("{} failed with code {}: {}", step.what, *code, last_line(log)), hint};
}

Result<void> check_tools(const PeerPackage& peer) {
  const auto hint = [&](const char* packages) {
    return fmt::format(
        "on Debian: apt-get install {}; or name an interpreter that has {} with --peer-python",
        packages, peer.package);
  };
  if (!is_in_path("python3")) {
    return not_found(
        fmt::format("{} comes from PyPI, and there is no python3 in PATH", peer.engine),
        hint("python3-venv g++"));
  }
  if (!is_in_path("c++") && !is_in_path("g++") && !is_in_path("clang++") &&
      variable("CXX").empty()) {
    return not_found(
        fmt::format("{} is compiled for this CPU, and there is no C++ compiler in PATH",
                    peer.engine),
        hint("g++"));
  }
  return {};
}

Result<void> make_environment(const PeerPackage& peer, const std::string& folder,
                              ProgressSink& progress) {
  PARING_TRY_VOID(check_tools(peer));
  std::error_code failure;
  fs::remove_all(folder, failure);
  const std::string log = folder + ".log";
  fs::remove(log, failure);
  auto made =
      run_step({"making a Python environment", {"python3", "-m", "venv", folder}, {}, kVenvSeconds},
               log, progress);
  if (!made) {
    made.error().hint += "; on Debian: apt-get install python3-venv";
    return std::move(made.error());
  }
  const std::string python = folder + "/bin/python";
  const std::vector<std::string> pip = {
      python, "-m", "pip", "--disable-pip-version-check", "--no-input", "install"};
  Step needs{fmt::format("fetching what {} needs", peer.package), pip, {}, kDownloadSeconds};
  needs.command.insert(needs.command.end(), peer.needs.begin(), peer.needs.end());
  PARING_TRY_VOID(run_step(needs, log, progress));
  const std::string list = folder + "/engine.txt";
  PARING_TRY_VOID(io::write_file(
      list, fmt::format("{}=={} --hash=sha256:{}\n", peer.package, peer.version, peer.sha256),
      io::Overwrite::kReplace));
  Step compile{fmt::format("compiling {} (15 minutes or more on two cores)", peer.engine),
               pip,
               {},
               kCompileSeconds};
  // From source: a wheel would be for any CPU.
  for (const char* word :
       {"--no-deps", "--require-hashes", "--no-cache-dir", "--no-binary", peer.package, "-r"}) {
    compile.command.emplace_back(word);
  }
  compile.command.push_back(list);
  compile.environment = {fmt::format("CMAKE_ARGS={}", peer.cmake_arguments),
                         fmt::format("CMAKE_BUILD_PARALLEL_LEVEL={}",
                                     std::max(1U, std::thread::hardware_concurrency()))};
  PARING_TRY_VOID(run_step(compile, log, progress));
  return io::write_file(folder + "/ready", std::string(peer.sha256) + "\n",
                        io::Overwrite::kReplace);
}

bool is_ready(const PeerPackage& peer, const std::string& folder) {
  const auto mark = read_small_file(folder + "/ready", 4096);
  return mark && mark->starts_with(peer.sha256);
}

}  // namespace

const std::vector<PeerPackage>& peer_packages() {
  static const std::vector<PeerPackage> packages = {
      {.engine = "llama.cpp",
       .package = "llama-cpp-python",
       .version = "0.3.36",
       .sha256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e",
       .needs = {"numpy>=1.20", "typing-extensions>=4.5", "diskcache>=5.6.1", "jinja2>=2.11.3"},
       .cmake_arguments = "-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF"},
      {.engine = "ik_llama.cpp",
       .package = "ik-llama-cpp-python",
       .version = "0.1.5",
       .sha256 = "33c67eb99e4dcab5e611050433243815709b8b3067753f9ce18375013cf002ad",
       .needs = {"numpy>=1.24"},
       .cmake_arguments = "-DGGML_NATIVE=ON"},
  };
  return packages;
}

const PeerPackage& peer_package(std::string_view engine) {
  const auto& all = peer_packages();
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&](const PeerPackage& one) { return one.engine == engine; });
  PARING_CHECK(found != all.end(), "options name known engines only");
  return *found;
}

Result<std::string> peer_folder(const PeerPackage& package) {
  std::string cache = variable("XDG_CACHE_HOME");
  if (cache.empty()) {
    if (variable("HOME").empty()) {
      return invalid_argument(
          fmt::format("neither XDG_CACHE_HOME nor HOME is set, so there is no folder for {}",
                      package.engine),
          "set XDG_CACHE_HOME, or name an interpreter with --peer-python");
    }
    cache = variable("HOME") + "/.cache";
  }
  const cost::Machine machine = cost::read_machine();
  std::string kind = machine.cpu;
  for (const std::string& flag : machine.isa_flags) kind += " " + flag;
  utsname system{};
  ::uname(&system);
  return fmt::format("{}/paring/peers/{}-{}-{}-{}", cache, package.package, package.version,
                     system.machine, sha256_hex(kind).substr(0, 8));
}

Result<PeerCommand> peer_command(const PeerSetup& setup, ProgressSink& progress) {
  const PeerPackage& package = peer_package(setup.engine);
  PeerCommand peer;
  peer.timeout_seconds = setup.timeout_seconds;
  const std::string script(paring_embed_llama_worker, paring_embed_llama_worker_size);
  std::string python = setup.python;
  if (python.empty()) {
    PARING_TRY(const std::string folder, peer_folder(package));
    std::error_code failure;
    fs::create_directories(fs::path(folder).parent_path(), failure);
    const FolderLock lock(folder + ".lock");
    if (!lock.is_open()) {
      return io_error(fmt::format("cannot write '{}.lock': {}", folder, errno_text(errno)),
                      "XDG_CACHE_HOME names another place for it");
    }
    if (!is_ready(package, folder)) {
      auto made = make_environment(package, folder, progress);
      if (!made) {
        return std::move(made.error()).with_context(fmt::format("setting up {}", package.engine));
      }
    }
    python = folder + "/bin/python";
    // Whatever the user's shell says of other builds is not meant for this one.
    peer.process.environment = {"LLAMA_CPP_LIB_PATH", "PYTHONPATH", "PYTHONHOME"};
  }
  peer.process.command = {python, "-c", script, package.engine};
  return peer;
}

}  // namespace paring::measure
