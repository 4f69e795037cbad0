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

  /** A card with a heading; answers the box that the chart goes into. */
  function section(title, caption, isWide) {
    const card = document.createElement("figure");
    card.className = isWide ? "chart wide" : "chart";
    const heading = document.createElement("h2");
    heading.textContent = title;
    const box = document.createElement("div");
    card.append(heading, box);
    if (caption) {
      const text = document.createElement("figcaption");
      text.textContent = caption;
      card.append(text);
    }
    charts.append(card);
    return box;
  }

  const height = (width) => Math.round(Math.min(300, Math.max(220, width * 0.5)));

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
      points: { size: 6 },
      value: (_, value) => format(value),
      ...extra,
    };
  }

  /** Dims what lies outside the measured window. */
  function dimUnmeasured({ startMs, endMs }) {
    return (chart) => {
      const { left, top, width, height: tall } = chart.bbox;
      const at = (timeMs) => Math.min(left + width, Math.max(left, chart.valToPos(timeMs / 1000, "x", true)));
      chart.ctx.fillStyle = color("--dim");
      chart.ctx.fillRect(left, top, at(startMs) - left, tall);
      chart.ctx.fillRect(at(endMs), top, left + width - at(endMs), tall);
    };
  }

  /** A chart of lines over a common x; `x` and `y` say how to scale and print. */
  function lineChart(box, { x, y, lines, data }) {
    const size = () => ({ width: box.clientWidth, height: height(box.clientWidth) });
    const options = {
      ...size(),
      scales: { x: { time: false, distr: x.log ? 3 : 1 }, y: { distr: y.log ? 3 : 1, range: y.range } },
      axes: [axis(x.format, "x"), axis(y.format, "y")],
      hooks: { drawClear: x.window ? [dimUnmeasured(x.window)] : [] },
      series: [{ label: x.label, value: (_, value) => x.format(value) }].concat(
        lines.map((each, index) =>
          line(each.label, each.color ?? index, each.format ?? y.format, each.extra),
        ),
      ),
    };
    const chart = new uPlot(options, data, box);
    redraws.push(() => chart.setSize(size()));
  }

  const seconds = { label: "time", format: (value) => `${trim(value)} s`, window: REPORT.window };
  const fromZero = (_, low, high) => [0, Math.max(high * 1.08, Number.EPSILON) || low + 1];
  /** A logarithmic scale cannot show zeros: they become gaps. */
  const positive = (values) => values.map((value) => (value > 0 ? value : null));

  function latencyOverTime(series) {
    lineChart(
      section(
        "Latency over time",
        "Percentiles of each slice of time, logarithmic; what is dimmed was not measured.",
        true,
      ),
      {
        x: seconds,
        y: { format: milliseconds, log: true },
        lines: [{ label: "TTFT p50" }, { label: "TTFT p99" }, { label: "ITL p50" }, { label: "ITL p99" }],
        data: [
          series.atSeconds,
          ...[series.ttftP50, series.ttftP99, series.itlP50, series.itlP99].map(positive),
        ],
      },
    );
  }

  function throughputOverTime(series) {
    const overTime = (title, lines, values) =>
      lineChart(section(title), {
        x: seconds,
        y: { format: trim, range: fromZero },
        lines,
        data: [series.atSeconds, ...values],
      });
    const filled = (index) => ({ color: index, extra: { fill: `${COLORS[index]}22` } });
    overTime(
      "Output tokens per second",
      [{ label: "tokens/s", ...filled(0) }],
      [series.outputTokensPerSecond],
    );
    overTime("Requests in flight", [{ label: "in flight", ...filled(4) }], [series.inFlight]);
    overTime(
      "Requests ended per second",
      [
        { label: "completed/s", color: 2 },
        { label: "failed/s", color: 1 },
      ],
      [series.completedPerSecond, series.failedPerSecond],
    );
  }

  function distributions(cdfs) {
    const present = cdfs.filter(({ points }) => points.length > 0);
    if (present.length === 0) return;
    // uPlot wants one ascending x for all lines; join lines up tables with different x values.
    const tables = present.map(({ points }) => {
      // A single tiny first value would stretch a logarithmic axis by decades.
      const shown = points.filter(([x, share]) => x > 0 && share >= 0.01);
      const shareAt = new Map(shown.map(([x, share]) => [x, share * 100]));
      return [[...shareAt.keys()], [...shareAt.values()]];
    });
    lineChart(section("Distributions", "Share of values at or below a latency; logarithmic to the right."), {
      x: { label: "latency", format: milliseconds, log: true },
      y: { format: (value) => `${trim(value)} %` },
      lines: present.map(({ name }) => ({ label: name })),
      data: uPlot.join(tables),
    });
  }

  const AXIS_HEIGHT = 22;
  const PHASES = {
    wait: ["waits in the client", "#9aa3ae"],
    prefill: ["waits for its first token", "#e0a63b"],
    stream: ["streams", "#8fb4f5"],
    token: ["a chunk arrives", "#1f4fb0"],
    error: ["failed", "#d1383d"],
    cancelled: ["cancelled", "#8a56c2"],
  };

  function timelineLegend() {
    const legend = document.createElement("p");
    legend.className = "legend";
    for (const [name, fill] of Object.values(PHASES)) {
      const item = document.createElement("span");
      const swatch = document.createElement("i");
      swatch.style.background = fill;
      item.append(swatch, name);
      legend.append(item);
    }
    return legend;
  }

  function timeline(streams, numStreams) {
    if (streams.length === 0) return;
    const which =
      streams.length < numStreams ? `The first ${streams.length} of ${numStreams} requests` : "Every request";
    const caption = `${which}, in as many lanes as there were at one moment. Pale blue between two chunks is a stall.`;
    const box = section("Streams", caption, true);
    const canvas = document.createElement("canvas");
    canvas.className = "streams";
    box.append(timelineLegend(), canvas);
    const draw = () => drawStreams(canvas, streams, box.clientWidth);
    draw();
    redraws.push(draw);
  }

  function drawStreams(canvas, streams, width) {
    const numLanes = Math.max(...streams.map(([lane]) => lane)) + 1;
    const lastMs = Math.max(...streams.map((stream) => stream[4]), 1);
    const row = Math.min(22, Math.max(7, Math.floor(360 / numLanes)));
    const ratio = window.devicePixelRatio || 1;
    const chartHeight = numLanes * row;
    canvas.width = width * ratio;
    canvas.height = (chartHeight + AXIS_HEIGHT) * ratio;
    canvas.style.height = `${chartHeight + AXIS_HEIGHT}px`;
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const at = (timeMs) => (timeMs / lastMs) * (width - 8);
    drawTimeAxis(pen, { at, lastMs, chartHeight, width });
    for (const stream of streams) drawStream(pen, stream, { row, at });
  }

  function drawTimeAxis(pen, { at, lastMs, chartHeight, width }) {
    const wanted = lastMs / 1000 / Math.max(2, Math.floor(width / 110));
    const power = 10 ** Math.floor(Math.log10(wanted));
    const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= wanted);
    pen.font = "12px system-ui, sans-serif";
    for (let tick = 0; tick * step <= lastMs / 1000; tick++) {
      const x = at(tick * step * 1000);
      const label = `${trim(tick * step)} s`;
      pen.fillStyle = color("--line");
      pen.fillRect(x, 0, 1, chartHeight + 4);
      pen.fillStyle = color("--muted");
      pen.fillText(label, Math.min(x, width - pen.measureText(label).width), chartHeight + 18);
    }
  }

  function drawStream(pen, [lane, scheduled, sent, first, end, outcome, ticks], { row, at }) {
    const y = lane * row;
    const bar = (from, to, phase, share) => {
      const thickness = row * share;
      pen.fillStyle = PHASES[phase][1];
      pen.fillRect(at(from), y + (row - thickness) / 2, Math.max(0.5, at(to) - at(from)), thickness);
    };
    bar(scheduled, sent, "wait", 0.35);
    bar(sent, first ?? end, first === null && outcome !== "ok" ? outcome : "prefill", 0.7);
    if (first !== null) bar(first, end, outcome === "ok" ? "stream" : outcome, 0.7);
    pen.fillStyle = PHASES.token[1];
    for (const tick of ticks) pen.fillRect(at(tick), y + row * 0.15, 0.8, row * 0.7);
  }

  function curve(data) {
    const levels = { label: data.unit, format: trim };
    lineChart(section("Throughput against load"), {
      x: levels,
      y: { format: trim, range: fromZero },
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
    lineChart(section("Latency against throughput", "The bend is where the server saturates.", true), {
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
    distributions(REPORT.cdfs);
    throughputOverTime(REPORT.series);
    timeline(REPORT.streams, REPORT.numStreams);
  }
  let pending = 0;
  window.addEventListener("resize", () => {
    cancelAnimationFrame(pending);
    pending = requestAnimationFrame(() => redraws.forEach((redraw) => redraw()));
  });
  document.body.dataset.drawn = String(redraws.length);
})();
