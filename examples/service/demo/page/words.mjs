// What the page says, in two languages. A text with numbers or names in it is a function of them.

const ITEMS = {
  en: ["a brass desk lamp", "a reading light", "a paper lantern", "a floor lamp", "a night light", "a workshop lamp"],
  zh: ["黄铜台灯", "阅读灯", "纸灯笼", "落地灯", "小夜灯", "工作灯"],
};

export const TEXTS = {
  en: {
    title: "unjoin: a shop, its customers, and a gang",
    skip: "Skip to the content",
    dark: "Dark", light: "Light",
    clock: "The clock of this demonstration",
    hour: "+1 hour", day: "+1 day", event: "Next event",
    views: "Views",
    phones: "Phones", portal: "The shop", public: "Public page", gang: "The gang", officer: "The officer",
    item: item => ITEMS.en[item],
    noWasm: "The phones are WebAssembly, and that is not built yet. This builds it, once:",
    noWasmThen: "Then load this page again.",
    about: (relay, gateway) => `Phones ask ${relay} (the relay: sees who asks, and not what), which passes sealed questions to ${gateway} (the gateway: sees what is asked, and not who). Here they are two ports of one program. They belong on two domains, at two companies.`,
    nothing: "Nothing will happen of itself: order something at a phone first.",
    still: "Nothing changed in ten days.",
    moved: time => `It is ${time}.`,
    failed: why => `That did not work: ${why}`,

    phonesTitle: "Three customers’ phones",
    phonesText: "Each is the real device, as WebAssembly. It asks for a token for every order, and sends at random times of its own.",
    phoneOf: name => `The phone of ${name}`,
    setUp: "Set up this phone", restore: "Restore from a code", code: "The code: 14 groups of 4",
    noCode: "This is no code: look for a group that is missing or wrong.",
    writeDown: "Write this code down. It alone brings this phone back:", written: "I have written it down",
    order: "Order a lamp", ordered: (item, time) => `${item}, ordered ${time}`,
    numberLives: (number, time) => `The shop’s driver can call ${number} until ${time}.`,
    numberDead: number => `The number ${number} is dead.`,
    rang: count => count === 1 ? "The driver has rung once." : `The driver has rung ${count} times.`,
    underWay: "On its way.",
    eligible: time => `Delivered. From ${time} on the phone asks for a token, and you can write.`,
    asking: "The phone will ask for a token at a random time.", open: "There is a token. No review yet.",
    waiting: "The review waits until enough others can write, too.",
    appears: time => `The review will appear on ${time}.`, appeared: time => `The review appeared on ${time}.`,
    withdrawn: "The review was withdrawn.", removed: "The review was removed by the platform.",
    over: "The time for a review is over.", refused: "The review was refused.", unknown: "Unknown.",
    forgotten: "The phone was lost, and with it the review’s words: the public page has them. It can be edited and withdrawn.",
    receipt: "It was sent. The phone holds the service’s signed promise to publish it.",
    write: "Write a review", edit: "Edit", withdraw: "Withdraw", withdrawSure: "Withdraw it for good?", yes: "Yes, withdraw", no: "No",
    stars: "Stars", starsOf: count => count === 1 ? "1 star" : `${count} stars`, text: "Your review", done: "Done", cancel: "Cancel",
    crowd: count => `It will be one of at least ${count} customers’ that look alike.`, noCrowd: "How large its crowd is shows once that is sealed.",
    appearsIf: time => `Written now, it appears on ${time}.`,
    noWarnings: "Nothing in it looks as if it said who you are.",
    warning: { "email-address": "an e-mail address", "long-number": "a long number", "web-address": "a web address", attachments: "a picture", "repeated-attachment": "a picture used before", day: "a day", date: "a date", time: "a time", address: "an address", "personal-name": "a name", "order-detail": "a detail of this order", other: "something of yours" },
    warns: (kind, words) => `“${words}” looks like ${kind}: it may say who you are.`,
    changed: "It will be sent at a random time within a day. Nothing here shows whether you changed it before it takes effect, so nobody can make you prove it.",
    writtenNow: "Written. It is sent by itself.",
    trouble: "Trouble", skew: "This phone’s clock", skews: { 0: "is right", "-172800": "is two days slow", 172800: "is two days fast" },
    offline: "No network", lose: "Lose this phone", lost: "The phone is lost. Its code brings it back.",
    lostWhy: { network: "No answer came through the relay. The phone tries again at another time.", clock: "No key of the door holds at this phone’s time: its clock is wrong. It tries again at another time." },
    kept: "Its blob is sealed, and its key lies beside it in this browser: whoever copies the browser’s profile has both. An app keeps the key in the platform’s keystore.",
    restored: "The phone is back. It asks for its tokens again, and where its reviews stand.",
    isSetUp: "The phone is set up.", isOrdered: "Ordered. Others buy at this shop, too.",

    portalTitle: "The shop’s portal", portalText: "What the shop sees, and whoever bought its password. Calls come from its driver’s phone: from any other the switchboard never connects.",
    noOrders: "No orders yet.", colOrder: "Order", colCustomer: "Customer", colItem: "Item", colPlaced: "Placed", colNumber: "Number", colCall: "Call",
    ring: "Ring", ringOf: order => `Ring the customer of ${order}`, connects: number => `${number}: the customer’s phone rings.`, refuses: number => `${number}: the switchboard refuses. It tells no reason.`,
    alive: "alive", dead: "dead",

    publicTitle: "Lamps & More, as everybody sees it", publicText: "Reviews appear at midnight, a crowd’s together, in an order that says nothing.",
    noReviews: "No reviews yet.", rating: (value, low, high) => `Rating ${value} (between ${low} and ${high})`,
    reviewAt: time => `Appeared on ${time}`, edited: "edited by its author",
    check: "Check the ledger", checking: "Reading the ledger…", checkText: "This page reads the whole ledger, and checks signatures and hashes itself.",
    checked: (entries, time) => `${entries} entries hash to the root that the ledger and its witness signed at ${time}.`,
    inLedger: "Stands in the ledger in these words.", notInLedger: "Does not stand in the ledger in these words!",
    noneMissing: "No published review is missing from this list.", missing: count => `${count} published reviews are missing from this list!`,
    noCheck: why => `The ledger does not hold: ${why}`,

    gangTitle: "The gang’s desk", gangText: "The shop’s password, and copies of all databases with all keys. The gang wants to know whom to phone.",
    gangRows: (orders, reviews, phones) => `Copied: ${orders} rows about orders, ${reviews} about reviews, ${phones} about numbers.`,
    gangBoth: count => count === 0 ? "No value of 16 bytes stands in both orders and reviews, but for the names of shop and crowd, and the time of the last tick." : `${count} values of 16 bytes stand in both orders and reviews.`,
    gangBindings: count => count === 0 ? "No number leads to a phone any more: the keys of dead numbers are gone." : `${count} sealed rows of live numbers.`,
    colReview: "Review", colGuess: "With unjoin: the best guess", colNaive: "A platform that keeps the order beside the review",
    guess: (name, order, of, percent) => `${name} (${order})? One of ${of} who look alike: ${percent} %.`,
    noGuess: "Its crowd is forgotten: there is nothing to guess from.",
    right: "Right, by luck.", wrong: "Wrong.",
    naive: (name, order, time) => `${name} (${order}), written ${time}: 100 %.`, naiveUnknown: "A naive platform would have this author, too; the demonstration has no note of it.",
    candidates: count => `All ${count} who can have written it`,
    luck: (right, of, expected) => `${right} of ${of} guesses are right. Chance gives ${expected}.`,
    truth: "To say which guess is right, this demonstration notes down who wrote what: the right column is that note. No part of the platform has it.",
    noGang: "Nothing is published yet: there is nothing to guess.",

    officerTitle: "An officer’s view", officerText: (needed, of) => `A court may have one review opened in four weeks. ${needed} of ${of} trustees must answer, each by itself, and nothing is opened that the public ledger does not name a warrant for.`,
    drawUp: "Sign a warrant", choose: "Review", noEvidence: "Nothing is published yet.",
    warrant: number => `Warrant ${number}`, logIt: "Have it logged", logged: "Its commitment stands in the ledger.", notLogged: "It is not in the ledger.",
    askThem: "Ask the trustees", trustee: number => `Trustee ${number}`,
    says: { announced: "announces in the ledger that it will answer", released: "releases its share", wait: "waits until the cooling-off is over", refused: "refuses" },
    until: time => `: ${time}`,
    opened: (name, account, bytes) => `Opened: ${name} (${account}). The proof of it has ${bytes} bytes, and anybody who gets it can check it.`,
    why: { "trustee.not_logged": "the warrant is not in the ledger", "trustee.budget": "the budget is spent: one opening in four weeks" },

    story: "The story, step by step",
    steps: ["Set up a phone, and order a lamp there.", "In the shop’s portal, ring the customer.", "Move the clock on: the lamp is delivered, and the number dies. Ring again.", "Two days later the phone can ask for its token. Write a review.", "Move the clock on: the crowd is sealed, the review is sent at a random time, and appears at midnight.", "Check the ledger on the public page.", "At the gang’s desk, see what a leak of everything is worth.", "As the officer, have one review opened, and see the second refused."],
  },

  zh: {
    title: "unjoin：一家店、几位顾客和一个团伙",
    skip: "跳到正文",
    dark: "深色", light: "浅色",
    clock: "演示的时钟",
    hour: "+1 小时", day: "+1 天", event: "下一事件",
    views: "视图",
    phones: "手机", portal: "商家", public: "公开页面", gang: "团伙", officer: "办案人员",
    item: item => ITEMS.zh[item],
    noWasm: "手机是 WebAssembly，还没有构建。用这条命令构建一次：",
    noWasmThen: "然后重新载入本页。",
    about: (relay, gateway) => `手机向 ${relay}（中继：知道谁在问，不知道问什么）提问，中继把密封的问题转给 ${gateway}（网关：知道问什么，不知道谁在问）。这里它们是同一程序的两个端口；实际上应属于两家公司的两个域名。`,
    nothing: "不会自己发生什么：请先在一部手机上下单。",
    still: "十天内没有任何变化。",
    moved: time => `现在是 ${time}。`,
    failed: why => `没有成功：${why}`,

    phonesTitle: "三位顾客的手机",
    phonesText: "每部都是真实的设备，以 WebAssembly 运行。它为每个订单索取令牌，并在自己随机选的时间发送。",
    phoneOf: name => `${name} 的手机`,
    setUp: "设置这部手机", restore: "用恢复码恢复", code: "恢复码：14 组，每组 4 位",
    noCode: "这不是恢复码：请检查漏掉或写错的组。",
    writeDown: "请抄下这个恢复码。只有它能找回这部手机：", written: "我已抄下",
    order: "买一盏灯", ordered: (item, time) => `${item}，${time} 下单`,
    numberLives: (number, time) => `商家的送货员在 ${time} 之前可以拨打 ${number}。`,
    numberDead: number => `号码 ${number} 已失效。`,
    rang: count => `送货员来过 ${count} 次电话。`,
    underWay: "配送中。",
    eligible: time => `已送达。从 ${time} 起手机会索取令牌，你也可以写评价。`,
    asking: "手机会在随机的时间索取令牌。", open: "已有令牌，还没有评价。",
    waiting: "评价在等待：要有足够多的人也能写。",
    appears: time => `评价将于 ${time} 显示。`, appeared: time => `评价已于 ${time} 显示。`,
    withdrawn: "评价已撤回。", removed: "评价已被平台移除。",
    over: "评价的时间已过。", refused: "评价被拒绝。", unknown: "未知。",
    forgotten: "手机丢过，评价的文字也随之丢了；公开页面上还有。仍可修改和撤回。",
    receipt: "已发出。手机持有服务方签名的发布承诺。",
    write: "写评价", edit: "修改", withdraw: "撤回", withdrawSure: "确定永久撤回？", yes: "是，撤回", no: "否",
    stars: "星级", starsOf: count => `${count} 星`, text: "你的评价", done: "完成", cancel: "取消",
    crowd: count => `它会混在至少 ${count} 位看起来一样的顾客之中。`, noCrowd: "人群封闭之后才知道有多大。",
    appearsIf: time => `现在写，将于 ${time} 显示。`,
    noWarnings: "没有发现会透露你身份的内容。",
    warning: { "email-address": "电子邮箱", "long-number": "长数字", "web-address": "网址", attachments: "图片", "repeated-attachment": "用过的图片", day: "日子", date: "日期", time: "时间", address: "地址", "personal-name": "人名", "order-detail": "本订单的细节", other: "你的信息" },
    warns: (kind, words) => `“${words}”看起来像${kind}，可能透露你是谁。`,
    changed: "它会在一天内的随机时间发出。生效之前，这里不会显示你是否改过，所以没有人能逼你证明。",
    writtenNow: "已写好，会自动发出。",
    trouble: "故障", skew: "这部手机的时钟", skews: { 0: "准确", "-172800": "慢两天", 172800: "快两天" },
    offline: "没有网络", lose: "丢失这部手机", lost: "手机丢了。恢复码可以找回它。",
    lostWhy: { network: "中继没有回答。手机会在另一个时间再试。", clock: "在这部手机的时间没有有效的门钥：它的时钟不对。它会在另一个时间再试。" },
    kept: "它的数据是密封的，钥匙就放在本浏览器里的旁边：谁复制浏览器的资料，谁就两样都有。应用会把钥匙放进系统的密钥库。",
    restored: "手机回来了。它会重新索取令牌，并询问评价的状态。",
    isSetUp: "手机已设置好。", isOrdered: "已下单。也有别人在这家店买东西。",

    portalTitle: "商家后台", portalText: "商家看到的一切；买到它密码的人也看得到。电话从送货员的手机打出：其他任何电话总机都不接通。",
    noOrders: "还没有订单。", colOrder: "订单", colCustomer: "顾客", colItem: "商品", colPlaced: "下单", colNumber: "号码", colCall: "通话",
    ring: "拨打", ringOf: order => `拨打订单 ${order} 的顾客`, connects: number => `${number}：顾客的手机响了。`, refuses: number => `${number}：总机拒接，不说理由。`,
    alive: "有效", dead: "失效",

    publicTitle: "Lamps & More，所有人看到的样子", publicText: "评价在午夜出现，一群人的一起，次序不说明任何事。",
    noReviews: "还没有评价。", rating: (value, low, high) => `评分 ${value}（${low} 到 ${high} 之间）`,
    reviewAt: time => `${time} 显示`, edited: "作者修改过",
    check: "核对账本", checking: "正在读取账本……", checkText: "本页自己读取整个账本，核对签名和哈希。",
    checked: (entries, time) => `${entries} 条记录的哈希等于账本和见证人在 ${time} 签名的根。`,
    inLedger: "账本里正是这些字。", notInLedger: "账本里不是这些字！",
    noneMissing: "已发布的评价没有一条从列表里消失。", missing: count => `有 ${count} 条已发布的评价不在列表里！`,
    noCheck: why => `账本不成立：${why}`,

    gangTitle: "团伙的桌面", gangText: "商家的密码，加上全部数据库的副本和全部钥匙。团伙想知道该给谁打电话。",
    gangRows: (orders, reviews, phones) => `已复制：订单 ${orders} 行，评价 ${reviews} 行，号码 ${phones} 行。`,
    gangBoth: count => count === 0 ? "除了商家和人群的名称、以及上次走时的时间，没有任何 16 字节的值同时出现在订单和评价里。" : `有 ${count} 个 16 字节的值同时出现在订单和评价里。`,
    gangBindings: count => count === 0 ? "没有号码还能通向任何手机：失效号码的钥匙已销毁。" : `有效号码有 ${count} 行密封记录。`,
    colReview: "评价", colGuess: "用 unjoin：最好的猜测", colNaive: "把订单存在评价旁边的平台",
    guess: (name, order, of, percent) => `${name}（${order}）？${of} 位看起来一样的顾客之一：${percent} %。`,
    noGuess: "它的人群已被遗忘：无从猜起。",
    right: "碰巧猜中。", wrong: "猜错。",
    naive: (name, order, time) => `${name}（${order}），${time} 写：100 %。`, naiveUnknown: "普通平台也会知道这位作者；演示没有记录。",
    candidates: count => `可能写它的全部 ${count} 人`,
    luck: (right, of, expected) => `${of} 次猜测中 ${right} 次。靠运气应中 ${expected} 次。`,
    truth: "为了说明哪次猜中，演示记下了谁写了什么：右栏就是这份记录。平台的任何部分都没有它。",
    noGang: "还没有发布任何评价：没有可猜的。",

    officerTitle: "办案人员的视图", officerText: (needed, of) => `法院四周内可以打开一条评价。${of} 位受托人中要有 ${needed} 位各自回答；公开账本没有记下令状的，什么也打不开。`,
    drawUp: "签署令状", choose: "评价", noEvidence: "还没有发布任何评价。",
    warrant: number => `令状 ${number}`, logIt: "记入账本", logged: "它的承诺已在账本里。", notLogged: "它不在账本里。",
    askThem: "询问受托人", trustee: number => `受托人 ${number}`,
    says: { announced: "在账本里宣布将要回答", released: "交出它的份额", wait: "等待冷静期结束", refused: "拒绝" },
    until: time => `：${time}`,
    opened: (name, account, bytes) => `已打开：${name}（${account}）。证明有 ${bytes} 字节，拿到的人都能核对。`,
    why: { "trustee.not_logged": "令状不在账本里", "trustee.budget": "预算已用完：四周一次" },

    story: "故事，一步一步",
    steps: ["设置一部手机，并在上面买一盏灯。", "在商家后台拨打顾客。", "拨快时钟：灯送到了，号码失效。再拨打一次。", "两天后手机可以索取令牌。写一条评价。", "拨快时钟：人群封闭，评价在随机的时间发出，并在午夜出现。", "在公开页面核对账本。", "在团伙的桌面看看：泄露一切值多少。", "作为办案人员打开一条评价，再看第二条被拒绝。"],
  },
};

let language = "en";

export const languages = Object.keys(TEXTS);
export const current = () => language;
export function speak(chosen) {
  language = chosen;
}

/** A text in the language that is spoken, with what it is about. */
export function t(key, ...about) {
  const text = TEXTS[language][key];
  return typeof text === "function" ? text(...about) : text;
}

/** A time of the demonstration's, in UTC. */
export function time(seconds, style = { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" }) {
  const locale = language === "zh" ? "zh-CN" : "en-GB";
  return new Intl.DateTimeFormat(locale, { ...style, hourCycle: "h23", timeZone: "UTC" }).format(new Date(seconds * 1000));
}

export const long = seconds => time(seconds, { weekday: "long", day: "numeric", month: "long", year: "numeric", hour: "2-digit", minute: "2-digit" });
export const hour = seconds => time(seconds, { hour: "2-digit", minute: "2-digit" });
