// Drives the Verilated card for the engine `verilog`: commands on standard input, replies on standard output, both
// little endian. The stimulus and the bookkeeping are those of stimulus.rs and rtl.rs, clock for clock.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>
#include <vector>

#include "Vmaglane_card.h"
#include "verilated.h"
#ifdef TRACED
#include "verilated_vcd_c.h"
#endif

namespace {

constexpr uint32_t BEATS_INSIDE_MAX = 511;
constexpr uint64_t ALL_LANES = BUS_BYTES == 64 ? ~0ull : (1ull << BUS_BYTES) - 1;

struct Stop {
  std::string message;
};

struct Record {
  uint8_t verdict, flow;
  uint16_t length, service, backend;
  uint64_t hash;
};

struct Left {
  uint32_t user = 0;
  std::vector<uint8_t> bytes;
};

struct Random {
  uint64_t state = 1;
  void seed(uint64_t value) {
    state = value + 0x9e3779b97f4a7c15ull;
    state = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9ull;
    state = (state ^ (state >> 27)) * 0x94d049bb133111ebull;
    state ^= state >> 31;
    if (state == 0) state = 1;
  }
  uint32_t next() {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return static_cast<uint32_t>((state * 0x2545f4914f6cdd1dull) >> 32);
  }
};

Vmaglane_card *core;
Random source, bus_source;
uint64_t seed_value = 1;
uint8_t gap = 0, stall_wire = 0, stall_host = 0;
uint64_t now = 0;
#ifdef TRACED
VerilatedVcdC *wave = nullptr;
#endif

void dump() {
#ifdef TRACED
  if (wave != nullptr) wave->dump(now * 5);
#endif
  now++;
}

void tick() {
  core->clock = 0;
  core->eval();
  dump();
  core->clock = 1;
  core->eval();
  dump();
}

void reset() {
  core->s_axis_tvalid = 0;
  core->m_axis_wire_tready = 0;
  core->m_axis_host_tready = 0;
  core->s_axil_awvalid = 0;
  core->s_axil_wvalid = 0;
  core->s_axil_arvalid = 0;
  core->reset = 1;
  for (int i = 0; i < 4; i++) tick();
  core->reset = 0;
  tick();
  source.seed(seed_value);
  bus_source.seed(~seed_value);
}

void read_exactly(void *to, size_t count) {
  if (fread(to, 1, count, stdin) != count) exit(0);
}

template <typename T> T get() {
  T value;
  read_exactly(&value, sizeof value);
  return value;
}

template <typename T> void put(T value) { fwrite(&value, 1, sizeof value, stdout); }

// Appends a beat; null lanes may stand only at the end of a frame.
template <typename Data>
void take_beat(const char *stream, Left &frame, uint32_t user, Data &data, uint64_t keep, bool last) {
  if (frame.bytes.empty()) frame.user = user;
  if (frame.user != user) throw Stop{std::string(stream) + " stream: tuser changes within a frame"};
  unsigned count = 0;
  while (count < BUS_BYTES && (keep >> count & 1)) count++;
  uint64_t expected = count == 64 ? ~0ull : (1ull << count) - 1;
  if (keep != expected || count == 0 || (!last && count < BUS_BYTES)) {
    char text[120];
    snprintf(text, sizeof text, "%s stream: tkeep is %llx on a beat with tlast %d", stream,
             static_cast<unsigned long long>(keep), last);
    throw Stop{text};
  }
  uint8_t lanes[BUS_BYTES];
  memcpy(lanes, &data[0], BUS_BYTES);
  frame.bytes.insert(frame.bytes.end(), lanes, lanes + count);
}

uint32_t beats(size_t length) { return static_cast<uint32_t>((length + BUS_BYTES - 1) / BUS_BYTES); }

struct Entering {
  uint8_t step;
  std::vector<uint8_t> bytes;
};

void offer(const Entering &entering, size_t offset, uint8_t garbage) {
  const std::vector<uint8_t> &frame = entering.bytes;
  uint8_t lanes[BUS_BYTES];
  memset(lanes, garbage, sizeof lanes);
  size_t count = frame.size() - offset < BUS_BYTES ? frame.size() - offset : BUS_BYTES;
  memcpy(lanes, frame.data() + offset, count);
  memcpy(&core->s_axis_tdata[0], lanes, BUS_BYTES);
  core->s_axis_tkeep = count == BUS_BYTES ? ALL_LANES : (1ull << count) - 1;
  core->s_axis_tlast = offset + count == frame.size();
  core->s_axis_tuser = static_cast<uint16_t>(frame.size()) | static_cast<uint32_t>(entering.step) << 16;
}

// An access to a register, not before so many frames of a run have entered.
struct Access {
  uint32_t after, write, offset, data;
};

// The host's side of AXI4-Lite: accesses in order, as close as the protocol allows. A read waits until all writes before it
// are done, and the other way round.
struct Bus {
  std::deque<Access> accesses;
  std::vector<uint32_t> words;
  uint32_t writes_open = 0, reads_open = 0;
  bool address_taken = false, word_taken = false;

  bool busy() const { return !accesses.empty() || writes_open > 0 || reads_open > 0; }

  // Before a clock: what is offered, and what is taken with it. Whether something moves.
  bool step(size_t entered) {
    if (!busy()) return false;
    bool ready = stall_host == 0 || (bus_source.next() & 3) != 0;
    core->s_axil_bready = ready;
    core->s_axil_rready = ready;
    bool due = !accesses.empty() && entered >= accesses.front().after;
    bool writes = due && accesses.front().write && reads_open == 0;
    bool reads = due && !accesses.front().write && writes_open == 0;
    core->s_axil_awvalid = writes && !address_taken;
    core->s_axil_wvalid = writes && !word_taken;
    core->s_axil_arvalid = reads;
    if (writes) {
      core->s_axil_awaddr = accesses.front().offset;
      core->s_axil_wdata = accesses.front().data;
      core->s_axil_wstrb = 15;
    }
    if (reads) core->s_axil_araddr = accesses.front().offset;
    core->eval();
    bool moved = false;
    if (core->s_axil_bvalid && ready) {
      writes_open--;
      moved = true;
    }
    if (core->s_axil_rvalid && ready) {
      reads_open--;
      words.push_back(core->s_axil_rdata);
      moved = true;
    }
    if (writes) {
      address_taken |= core->s_axil_awready;
      word_taken |= core->s_axil_wready;
      if (address_taken && word_taken) {
        address_taken = word_taken = false;
        writes_open++;
        accesses.pop_front();
        moved = true;
      }
    } else if (reads && core->s_axil_arready) {
      reads_open++;
      accesses.pop_front();
      moved = true;
    }
    return moved;
  }

  // Runs until all is done, without frames.
  void run() {
    for (uint64_t quiet = 0; busy(); quiet++) {
      if (step(SIZE_MAX)) quiet = 0;
      if (quiet > STUCK_CLOCKS)
        throw Stop{"a register access has not been answered in " + std::to_string(STUCK_CLOCKS) + " clocks"};
      tick();
    }
    step_idle();
  }

  void step_idle() {
    core->s_axil_awvalid = 0;
    core->s_axil_wvalid = 0;
    core->s_axil_arvalid = 0;
  }
};

Bus bus;
// Accesses while the next frames run.
std::deque<Access> posted;

// What has been read since it was last asked.
void put_words() {
  put<uint32_t>(static_cast<uint32_t>(bus.words.size()));
  for (uint32_t word : bus.words) put(word);
  bus.words.clear();
}

void run_frames(const std::vector<Entering> &frames) {
  std::vector<Record> records;
  std::vector<Left> wire, host;
  Left wire_now, host_now;
  std::deque<uint32_t> wire_beats, host_beats;
  size_t number = 0, offset = 0, wire_done = 0, host_done = 0;
  uint32_t inside = 0;
  uint64_t clocks = 0, progress = 0;
  bool offered = false;
  bus.accesses.swap(posted);
  posted.clear();
  while (number < frames.size() || records.size() < frames.size() || !wire_beats.empty() || !host_beats.empty() ||
         bus.busy()) {
    uint32_t word = source.next();
    bool pause = (word & 0xff) < gap;
    bool hold_wire = (word >> 8 & 0xff) < stall_wire;
    bool hold_host = (word >> 16 & 0xff) < stall_host;
    if (number < frames.size() && !offered) {
      bool fits = inside == 0 || inside + beats(frames[number].bytes.size()) <= BEATS_INSIDE_MAX;
      offered = !pause && (offset > 0 || fits);
      if (offered) {
        offer(frames[number], offset, static_cast<uint8_t>(word >> 24));
        if (offset == 0) inside += beats(frames[number].bytes.size());
      }
    }
    core->s_axis_tvalid = offered;
    core->m_axis_wire_tready = !hold_wire;
    core->m_axis_host_tready = !hold_host;
    bool taken = offered && core->s_axis_tready;
    bool moved = bus.step(number) || taken;
    if (core->trace_valid) {
      Record record{core->trace_verdict, core->trace_flow, core->trace_length, core->trace_service, core->trace_backend,
                    core->trace_hash_low | static_cast<uint64_t>(core->trace_hash_high) << 32};
      if (record.verdict == 0)
        wire_beats.push_back(beats(record.length));
      else if ((record.verdict & 0x10) == 0)
        host_beats.push_back(beats(record.length));
      else
        inside -= beats(record.length);
      records.push_back(record);
      moved = true;
    }
    if (core->m_axis_wire_tvalid && !hold_wire) {
      take_beat("wire", wire_now, core->m_axis_wire_tuser, core->m_axis_wire_tdata, core->m_axis_wire_tkeep,
                core->m_axis_wire_tlast);
      if (core->m_axis_wire_tlast) {
        wire.push_back(wire_now);
        wire_now = Left();
        wire_done++;
      }
      moved = true;
    }
    if (core->m_axis_host_tvalid && !hold_host) {
      take_beat("host", host_now, core->m_axis_host_tuser, core->m_axis_host_tdata, core->m_axis_host_tkeep,
                core->m_axis_host_tlast);
      if (core->m_axis_host_tlast) {
        host.push_back(host_now);
        host_now = Left();
        host_done++;
      }
      moved = true;
    }
    for (; wire_done > 0 && !wire_beats.empty(); wire_done--) {
      inside -= wire_beats.front();
      wire_beats.pop_front();
    }
    for (; host_done > 0 && !host_beats.empty(); host_done--) {
      inside -= host_beats.front();
      host_beats.pop_front();
    }
    tick();
    clocks++;
    if (taken) {
      offered = false;
      offset += BUS_BYTES;
      if (offset >= frames[number].bytes.size()) {
        offset = 0;
        number++;
      }
    }
    if (moved)
      progress = clocks;
    else if (clocks - progress > STUCK_CLOCKS)
      throw Stop{"nothing moved for " + std::to_string(STUCK_CLOCKS) + " clocks, " + std::to_string(number) +
                 " frames in"};
  }
  bus.step_idle();
  put<uint8_t>('f');
  put<uint64_t>(clocks);
  put<uint32_t>(static_cast<uint32_t>(records.size()));
  for (const Record &record : records) {
    put(record.verdict);
    put(record.flow);
    put(record.length);
    put(record.service);
    put(record.backend);
    put(record.hash);
  }
  for (const std::vector<Left> *stream : {&wire, &host}) {
    put<uint32_t>(static_cast<uint32_t>(stream->size()));
    for (const Left &frame : *stream) {
      put(frame.user);
      put<uint32_t>(static_cast<uint32_t>(frame.bytes.size()));
      fwrite(frame.bytes.data(), 1, frame.bytes.size(), stdout);
    }
  }
  put_words();
}

void command(uint8_t code) {
  if (code == 'S') {
    seed_value = get<uint64_t>();
    gap = get<uint8_t>();
    stall_wire = get<uint8_t>();
    stall_host = get<uint8_t>();
    reset();
    put<uint8_t>('k');
  } else if (code == 'A' || code == 'P') {
    // Accesses to registers: done now, or while the next frames run.
    std::vector<Access> accesses(get<uint32_t>());
    for (Access &access : accesses) {
      access.after = get<uint32_t>();
      access.write = get<uint32_t>();
      access.offset = get<uint32_t>();
      access.data = get<uint32_t>();
    }
    if (code == 'A') {
      bus.accesses.assign(accesses.begin(), accesses.end());
      bus.run();
    } else {
      posted.assign(accesses.begin(), accesses.end());
    }
    put<uint8_t>('k');
    put_words();
  } else if (code == 'F') {
    std::vector<Entering> frames(get<uint32_t>());
    for (Entering &frame : frames) {
      frame.step = get<uint8_t>();
      frame.bytes.resize(get<uint32_t>());
      read_exactly(frame.bytes.data(), frame.bytes.size());
    }
    run_frames(frames);
#ifdef TRACED
  } else if (code == 'T') {
    std::string path(get<uint32_t>(), '\0');
    read_exactly(&path[0], path.size());
    wave = new VerilatedVcdC;
    core->trace(wave, 99);
    wave->open(path.c_str());
    put<uint8_t>('k');
#endif
  } else {
    throw Stop{"unknown command"};
  }
}

}  // namespace

int main() {
#ifdef TRACED
  Verilated::traceEverOn(true);
#endif
  core = new Vmaglane_card;
  core->wrapper = 0;
  core->clock_khz = 200000;
  for (;;) {
    int code = getchar();
    if (code == EOF) break;
    try {
      command(static_cast<uint8_t>(code));
    } catch (const Stop &stop) {
      put<uint8_t>('e');
      put<uint32_t>(static_cast<uint32_t>(stop.message.size()));
      fwrite(stop.message.data(), 1, stop.message.size(), stdout);
    }
    fflush(stdout);
  }
#ifdef TRACED
  if (wave != nullptr) wave->close();
#endif
  core->final();
  return 0;
}
