/* Runs in the reader's browser, inlined into the report: draws REPORT with uPlot and a canvas. */
(() => {
  const COLORS = ["#2f6fde", "#d1483d", "#2d9a5f", "#b0761c", "#8a56c2"];
  const charts = document.getElementById("charts");
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(name).trim();
  const redraws = [];

  const isMissing = (value) => value === null || value === undefined;
  const trim = (value) => (isMissing(value) ? "-" : String(Number(value.toPrecision(4))));
  const milliseconds = (value) => {
    if (isMissing(value)) return "-";
    return value >= 1000 ? `${trim(value / 1000)} s` : `${trim(value)} ms`;
  };

  function section(title, caption) {
    const heading = document.createElement("h2");
    heading.textContent = title;
    const box = document.createElement("div");
    charts.append(heading, box);
    if (caption) {
      const text = document.createElement("p");
      text.className = "caption";
      text.textContent = caption;
      charts.append(text);
    }
    return box;
  }

  const width = () => charts.clientWidth;
  const height = () => Math.round(Math.min(320, Math.max(220, width() * 0.45)));

  function axis(format, side) {
    return {
      stroke: color("--muted"),
      grid: { stroke: color("--line"), width: 1 },
      ticks: { stroke: color("--line"), width: 1 },
      size: side === "y" ? 64 : 40,
      values: (_, ticks) => ticks.map((tick) => (isMissing(tick) ? "" : format(tick))),
    };
  }

  function line(label, index, format, extra) {
    return {
      label,
      stroke: COLORS[index % COLORS.length],
      width: 2,
      spanGaps: true,
      value: (_, value) => format(value),
      ...extra,
    };
  }

  /** A chart of lines over a common x; `x` and `y` say how to scale and print. */
  function lineChart(box, { x, y, lines, data }) {
    const options = {
      width: width(),
      height: height(),
      scales: { x: { time: false, distr: x.log ? 3 : 1 }, y: { distr: y.log ? 3 : 1 } },
      axes: [axis(x.format, "x"), axis(y.format, "y")],
      series: [{ label: x.label, value: (_, value) => x.format(value) }].concat(
        lines.map((each, index) => line(each.label, index, each.format ?? y.format, each.extra)),
      ),
    };
    const chart = new uPlot(options, data, box);
    redraws.push(() => chart.setSize({ width: width(), height: height() }));
  }

  const seconds = { label: "time", format: (value) => `${trim(value)} s` };
  /** A logarithmic scale cannot show zeros: they become gaps. */
  const positive = (values) => values.map((value) => (value > 0 ? value : null));

  function latencyOverTime(series) {
    lineChart(section("Latency over time", "Percentiles of each slice of time, logarithmic."), {
      x: seconds,
      y: { format: milliseconds, log: true },
      lines: [{ label: "TTFT p50" }, { label: "TTFT p99" }, { label: "ITL p50" }, { label: "ITL p99" }],
      data: [
        series.atSeconds,
        ...[series.ttftP50, series.ttftP99, series.itlP50, series.itlP99].map(positive),
      ],
    });
  }

  function throughputOverTime(series) {
    lineChart(section("Output tokens per second"), {
      x: seconds,
      y: { format: trim },
      lines: [{ label: "tokens/s" }],
      data: [series.atSeconds, series.outputTokensPerSecond],
    });
    lineChart(section("Requests"), {
      x: seconds,
      y: { format: trim },
      lines: [{ label: "in flight" }, { label: "completed/s" }, { label: "failed/s" }],
      data: [series.atSeconds, series.inFlight, series.completedPerSecond, series.failedPerSecond],
    });
  }

  function distributions(cdfs) {
    const present = cdfs.filter(({ points }) => points.length > 0);
    if (present.length === 0) return;
    // uPlot wants one ascending x for all lines; join lines up tables with different x values.
    const tables = present.map(({ points }) => {
      const shareAt = new Map(points.filter(([x]) => x > 0).map(([x, share]) => [x, share * 100]));
      return [[...shareAt.keys()], [...shareAt.values()]];
    });
    lineChart(section("Distributions", "Share of values at or below a latency; logarithmic to the right."), {
      x: { label: "latency", format: milliseconds, log: true },
      y: { format: (value) => `${trim(value)} %` },
      lines: present.map(({ name }) => ({ label: name })),
      data: uPlot.join(tables),
    });
  }

  const ROW = 7;
  const PHASES = {
    wait: "#b9bfc8",
    prefill: "#e0a63b",
    stream: "#4f86e8",
    token: "#14397f",
    error: "#d1383d",
    cancelled: "#8a56c2",
  };

  function timeline(streams) {
    const box = section(
      "Streams",
      "One row a request: grey waits in the client, amber waits for its first token, blue streams (dark ticks are chunks; a gap is a stall), red failed, violet was cancelled.",
    );
    const canvas = document.createElement("canvas");
    canvas.className = "streams";
    box.append(canvas);
    const lastMs = Math.max(...streams.map((stream) => stream[3]), 1);
    const draw = () => drawStreams(canvas, streams, lastMs);
    draw();
    redraws.push(draw);
  }

  function drawStreams(canvas, streams, lastMs) {
    const ratio = window.devicePixelRatio || 1;
    const cssHeight = streams.length * ROW + 24;
    canvas.width = width() * ratio;
    canvas.height = cssHeight * ratio;
    canvas.style.height = `${cssHeight}px`;
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const at = (timeMs) => (timeMs / lastMs) * (width() - 8);
    streams.forEach((stream, index) => drawStream(pen, stream, { y: index * ROW, at }));
    pen.fillStyle = color("--muted");
    pen.font = "12px system-ui, sans-serif";
    pen.fillText("0 s", 0, cssHeight - 6);
    const end = milliseconds(lastMs);
    pen.fillText(end, width() - pen.measureText(end).width - 4, cssHeight - 6);
  }

  function drawStream(pen, [scheduled, sent, first, end, outcome, , ticks], { y, at }) {
    const bar = (from, to, fill, thickness) => {
      pen.fillStyle = fill;
      pen.fillRect(at(from), y + (ROW - thickness) / 2, Math.max(0.5, at(to) - at(from)), thickness);
    };
    bar(scheduled, sent, PHASES.wait, 3);
    bar(sent, first ?? end, outcome === "error" ? PHASES.error : PHASES.prefill, 5);
    if (first !== null) bar(first, end, outcome === "ok" ? PHASES.stream : PHASES[outcome], 5);
    pen.fillStyle = PHASES.token;
    for (const tick of ticks) pen.fillRect(at(tick), y + 1, 0.6, ROW - 2);
  }

  function curve(data) {
    const levels = { label: data.unit, format: trim };
    lineChart(section("Throughput against load"), {
      x: levels,
      y: { format: trim },
      lines: [{ label: "output tokens/s" }],
      data: [data.levels, data.outputTokensPerSecond],
    });
    lineChart(section("Latency against load", "Logarithmic."), {
      x: levels,
      y: { format: milliseconds, log: true },
      lines: [{ label: "TTFT p50" }, { label: "TTFT p99" }, { label: "ITL p50" }, { label: "ITL p99" }],
      data: [data.levels, ...[data.ttftP50, data.ttftP99, data.itlP50, data.itlP99].map(positive)],
    });
    const order = data.outputTokensPerSecond.map((_, index) => index);
    order.sort((a, b) => data.outputTokensPerSecond[a] - data.outputTokensPerSecond[b]);
    const sorted = (values) => order.map((index) => values[index]);
    lineChart(section("Latency against throughput", "The bend is where the server saturates."), {
      x: { label: "output tokens/s", format: trim },
      y: { format: milliseconds, log: true },
      lines: [{ label: "TTFT p99" }, { label: "ITL p99" }],
      data: [
        sorted(data.outputTokensPerSecond),
        positive(sorted(data.ttftP99)),
        positive(sorted(data.itlP99)),
      ],
    });
  }

  if (REPORT.kind === "curve") {
    curve(REPORT);
  } else {
    latencyOverTime(REPORT.series);
    throughputOverTime(REPORT.series);
    distributions(REPORT.cdfs);
    timeline(REPORT.streams);
  }
  let pending = 0;
  window.addEventListener("resize", () => {
    cancelAnimationFrame(pending);
    pending = requestAnimationFrame(() => redraws.forEach((redraw) => redraw()));
  });
  document.body.dataset.drawn = String(redraws.length);
})();
