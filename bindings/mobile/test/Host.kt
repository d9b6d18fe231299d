// The device in Kotlin, called line by line: see remote.mjs.

import org.unjoin.*

private val objects = HashMap<Int, Any>()

private fun text(value: String): String {
    val out = StringBuilder("\"")
    for (unit in value) {
        when {
            unit == '"' || unit == '\\' -> out.append('\\').append(unit)
            unit < ' ' -> out.append("\\u%04x".format(unit.code))
            else -> out.append(unit)
        }
    }
    return out.append('"').toString()
}

private fun json(value: Any?): String = when (value) {
    null -> "null"
    is ByteArray -> "{\"hex\":\"${value.toHexString()}\"}"
    is List<*> -> value.joinToString(",", "[", "]") { json(it) }
    is Map<*, *> -> value.entries.joinToString(",", "{", "}") { (name, inner) -> "${text(name as String)}:${json(inner)}" }
    is Enum<*> -> text(value.name.lowercase().replace('_', '-'))
    is String -> text(value)
    is Boolean -> value.toString()
    else -> value.toString()
}

private fun objectOf(value: Any, vararg more: Pair<String, Any?>): Map<String, Any?> {
    val number = objects.size + 1
    objects[number] = value
    return mapOf("object" to listOf(value::class.simpleName!!, number), *more)
}

private fun request(carriesAccount: Boolean, request: DeviceRequest): Map<String, Any?> {
    val shown = when (request) {
        is DeviceRequest.Nonce -> mapOf("kind" to "nonce")
        is DeviceRequest.Enrol -> mapOf("kind" to "enrol", "nonce" to request.nonce, "enrolment" to request.enrolment)
        is DeviceRequest.Offer -> mapOf("kind" to "offer", "merchant" to request.merchant, "handle" to request.handle)
        is DeviceRequest.Grant -> mapOf("kind" to "grant", "request" to request.request)
        is DeviceRequest.Manifests -> mapOf("kind" to "manifests", "since" to request.since)
        is DeviceRequest.Published ->
            mapOf("kind" to "published", "boundary" to request.boundary, "merchant" to request.merchant)
        is DeviceRequest.Door -> mapOf("kind" to "door", "message" to request.message)
    }
    return shown + ("carriesAccount" to carriesAccount)
}

private fun action(action: Action) =
    mapOf("number" to action.number, "at" to action.at, "request" to action.request?.let { request(action.carriesAccount, it) })

private fun status(status: ReviewStatus) = mapOf(
    "handle" to status.handle, "stage" to status.stage, "at" to status.at, "words" to status.words, "wordsZh" to status.wordsZh,
    "stars" to status.stars, "text" to status.text, "receipt" to status.receipt, "promise" to status.promise,
    "promiseWords" to status.promiseWords, "promiseWordsZh" to status.promiseWordsZh,
)

private fun draft(draft: Draft) = mapOf(
    "warnings" to draft.warnings.map { mapOf("kind" to it.kind, "start" to it.start, "end" to it.end, "passage" to it.passage) },
    "crowd" to draft.crowd, "appears" to draft.appears,
)

private fun bytes(given: String) = if (given == "-") ByteArray(0) else given.hexToByteArray()

/// The arguments of a call, one after another.
private class Given(private val parts: List<String>) {
    private var at = 0
    private fun next() = parts[at++]
    private fun items() = next().drop(1).split(',').filter { it.isNotEmpty() }
    fun raw() = bytes(next())
    fun string() = bytes(next()).decodeToString()
    fun raws() = items().map { bytes(it) }
    fun strings() = items().map { bytes(it).decodeToString() }
    fun time() = next().toLong()
    fun number() = next().toUInt()
    fun small() = next().toUByte()
    fun short() = next().toUShort()
    fun long() = next().toULong()
    fun grid() = if (string() == "daily") Grid.DAILY else Grid.WEEKLY
    fun trust() = of() as Trust
    fun device() = of() as Device
    fun door() = of() as Door
    fun question() = of() as SealedQuestion
    fun id() = next().drop(1).toInt()
    private fun of() = objects[id()]!!
}

private fun run(method: String, given: Given): () -> Any? = with(given) {
    when (method) {
        "Trust.new" -> { val (key, least, grid) = Triple(string(), number(), grid()); { Trust(key, least, grid) } }
        "Trust.pinTrustees" -> { val trust = trust(); val keys = strings(); val least = short(); { trust.pinTrustees(keys, least) } }
        "Trust.pinIssuerKey" -> { val trust = trust(); val key = string(); val signed = raw(); { trust.pinIssuerKey(key, signed) } }
        "Trust.pinLedger" -> {
            val trust = trust(); val log = string(); val witnesses = strings()
            val (quorum, faulty, freshness) = Triple(number(), number(), long());
            { trust.pinLedger(log, witnesses, quorum, faulty, freshness) }
        }
        "Trust.requireLedger" -> { val trust = trust(); { trust.requireLedger() } }
        "Device.create" -> { val s = raw(); val i = string(); val a = string(); val t = trust(); { Device.create(s, i, a, t) } }
        "Device.restore" -> { val s = raw(); val i = string(); val a = string(); val t = trust(); { Device.restore(s, i, a, t) } }
        "Device.restoreBackup" -> {
            val b = raw(); val p = string(); val i = string(); val a = string(); val t = trust();
            { Device.restoreBackup(b, p, i, a, t) }
        }
        "Device.restoreCode" -> { val c = string(); val i = string(); val a = string(); val t = trust(); { Device.restoreCode(c, i, a, t) } }
        "Device.open" -> { val blob = raw(); val key = raw(); val trust = trust(); { Device.open(blob, key, trust) } }
        "Device.seal" -> { val device = device(); val key = raw(); { device.seal(key) } }
        "Device.backUp" -> { val device = device(); val passphrase = string(); { device.backUp(passphrase) } }
        "Device.recoveryCode" -> { val device = device(); { device.recoveryCode() } }
        "Device.accountUsed" -> { val device = device(); val now = time(); { device.accountUsed(now) } }
        "Device.orderEligible" -> {
            val device = device(); val merchant = string(); val handle = string(); val now = time();
            { device.orderEligible(merchant, handle, now) }
        }
        "Device.forget" -> { val device = device(); val handle = string(); { device.forget(handle) } }
        "Device.next" -> { val device = device(); val now = time(); { device.next(now) } }
        "Device.handle" -> {
            val device = device(); val number = number(); val answer = raw(); val now = time(); { device.handle(number, answer, now) }
        }
        "Device.handleManifests" -> {
            val device = device(); val number = number(); val all = raws(); val now = time(); { device.handleManifests(number, all, now) }
        }
        "Device.handlePublished" -> {
            val device = device(); val number = number(); val all = raws(); val now = time(); { device.handlePublished(number, all, now) }
        }
        "Device.handleRefused" -> {
            val device = device(); val number = number(); val code = string(); val now = time(); { device.handleRefused(number, code, now) }
        }
        "Device.handleLost" -> { val device = device(); val number = number(); val now = time(); { device.handleLost(number, now) } }
        "Device.draftReview" -> {
            val device = device(); val handle = string(); val stars = small(); val text = string(); val known = strings(); val now = time();
            { device.draftReview(handle, stars, text, known, now) }
        }
        "Device.writeReview" -> {
            val device = device(); val handle = string(); val stars = small(); val text = string(); val now = time();
            { device.writeReview(handle, stars, text, now) }
        }
        "Device.editReview" -> {
            val device = device(); val handle = string(); val stars = small(); val text = string(); val now = time();
            { device.editReview(handle, stars, text, now) }
        }
        "Device.withdrawReview" -> { val device = device(); val handle = string(); val now = time(); { device.withdrawReview(handle, now) } }
        "Device.reviews" -> { val device = device(); val now = time(); { device.reviews(now) } }
        "Door.new" -> { val trust = trust(); val host = string(); { Door(trust, host) } }
        "Door.pin" -> { val door = door(); val entry = raw(); { door.pin(entry) } }
        "Door.admit" -> { val door = door(); val evidence = raw(); val now = time(); { door.admit(evidence, now) } }
        "Door.entries" -> { val door = door(); { door.entries() } }
        "Door.shardBits" -> { val door = door(); val now = time(); { door.shardBits(now) } }
        "Door.seal" -> { val door = door(); val question = raw(); val now = time(); { door.seal(question, now) } }
        "SealedQuestion.open" -> { val question = question(); val answer = raw(); { question.open(answer) } }
        "bundleQuestion" -> { val boundary = time(); val shard = short(); val piece = short(); { bundleQuestion(boundary, shard, piece) } }
        "shardOfMerchant" -> { val merchant = string(); val bits = small(); { shardOfMerchant(merchant, bits) } }
        "piecesOfBundle" -> { val piece = raw(); { piecesOfBundle(piece) } }
        "joinBundle" -> { val pieces = raws(); { joinBundle(pieces) } }
        else -> { val id = id(); { (objects.put(id, Unit) as AutoCloseable).close() } }
    }
}

private fun shown(value: Any?): Any? = when (value) {
    is Unit -> null
    is SealedQuestion -> objectOf(value, "body" to value.body())
    is Trust, is Device, is Door -> objectOf(value)
    is Draft -> draft(value)
    is Bundle -> mapOf("manifests" to value.manifests, "keys" to value.keys, "others" to value.others)
    is DoorAnswer -> mapOf("status" to value.status, "body" to value.body, "message" to value.message)
    is List<*> -> value.map { shown(it) }
    is Action -> action(value)
    is ReviewStatus -> status(value)
    else -> value
}

fun main() {
    for (line in generateSequence(::readlnOrNull)) {
        val parts = line.split(' ')
        val said = try {
            val call = run(parts[0], Given(parts.drop(1)))
            val begun = System.nanoTime()
            val value = call()
            val took = System.nanoTime() - begun
            mapOf("ok" to shown(value), "ns" to took)
        } catch (refused: UnjoinException.Refused) {
            mapOf("error" to mapOf("code" to refused.code, "retryable" to refused.retryable, "reason" to refused.reason))
        } catch (trap: Throwable) {
            mapOf("trap" to trap.toString())
        }
        println(json(said))
    }
}
